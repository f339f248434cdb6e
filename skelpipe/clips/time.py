"""A clip's length, and its frames brought to another number of them."""

from __future__ import annotations

from numba import njit

from skelpipe.clips.bodies import is_shown

LENGTH_RULES = ("count", "last")


# selected (F, 2, V, 3) -> how many frames of it are to be resized
@njit(cache=True, nogil=True)
def count_frames(selected, last):  # type: ignore[no-untyped-def]
    count, latest = 0, 0
    for t in range(len(selected)):
        if is_shown(selected[t, 0, :1]):
            count += 1
            latest = t + 1
    return latest if last else count


# selected (L, 2, V, 3) -> out (3, T, V, 2)
@njit(cache=True, nogil=True, error_model="numpy")
def resize_frames(selected, out):  # type: ignore[no-untyped-def]
    length, bodies, joints, _ = selected.shape
    frames = out.shape[1]
    for t in range(frames):
        u = min(max((t + 0.5) * length / frames - 0.5, 0.0), length - 1.0)
        early = int(u)
        late, weight = min(early + 1, length - 1), u - early
        for v in range(joints):
            for m in range(bodies):
                for c in range(3):
                    a, b = selected[early, m, v, c], selected[late, m, v, c]
                    out[c, t, v, m] = a + weight * (b - a)
