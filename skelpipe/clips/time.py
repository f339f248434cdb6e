"""A clip's length, and its frames brought to another number of them."""

from __future__ import annotations

from skelpipe.clips.bodies import is_shown, put
from skelpipe.kernels import compiled


# selected (F, M, V, C) -> how many of its frames show any of the first `bodies` bodies, or, if `last`, where the last
# of these frames is. Any joint counts: the reference's joint 0 lies in the origin where coordinates are told from there
@compiled
def count_frames(selected, last, bodies):  # type: ignore[no-untyped-def]
    count, latest = 0, 0
    for t in range(len(selected)):
        shown = False
        for m in range(bodies):
            shown = shown or is_shown(selected[t, m])
        if shown:
            count += 1
            latest = t + 1
    return latest if last else count


# selected (L, M, V, C) -> out (C, T, V, M)
@compiled(error_model="numpy")
def resize_frames(selected, channels, out):  # type: ignore[no-untyped-def]
    length, bodies, joints, _ = selected.shape
    frames = out.shape[1]
    for t in range(frames):
        u = min(max((t + 0.5) * length / frames - 0.5, 0.0), length - 1.0)
        early = int(u)
        late, weight = min(early + 1, length - 1), u - early
        for v in range(joints):
            for m in range(bodies):
                for c in range(len(channels)):
                    a, b = selected[early, m, v, c], selected[late, m, v, c]
                    out[c, t, v, m] = a + weight * (b - a)


# The choices of the step `time`: x (L, M, V, C) -> out (T, M, V, C), zeros on entry; they return how many frames of
# out, from the start, are the clip's own.
@compiled
def resize(x, channels, out):  # type: ignore[no-untyped-def]
    """AimCLR: L frames become T by linear interpolation."""
    resize_frames(x, channels, out.transpose(3, 0, 2, 1))
    return len(out)


@compiled
def pad(x, out):  # type: ignore[no-untyped-def]
    """ST-GCN, AimCLR: zeros behind; longer clips keep their middle T frames."""
    count = min(len(x), len(out))
    _copy(x, (len(x) - count) // 2, 1, count, out)
    return count


@compiled
def first(x, out):  # type: ignore[no-untyped-def]
    """CTR-GCN, CMD: zeros behind; longer clips keep their first T frames."""
    count = min(len(x), len(out))
    _copy(x, 0, 1, count, out)
    return count


@compiled
def stride(x, out):  # type: ignore[no-untyped-def]
    """P&C: every floor(L/T)-th frame, the first T of these; zeros behind shorter clips."""
    count = min(len(x), len(out))
    _copy(x, 0, max(1, len(x) // len(out)), count, out)
    return count


@compiled
def repeat(x, out):  # type: ignore[no-untyped-def]
    """2s-AGCN, ISC: every body is played again from its start behind the last frame that shows it.

    The clip's own are as many frames as it had, those that the body did not fill included.
    """
    for m in range(x.shape[1]):
        period = len(x)
        while period > 0 and not is_shown(x[period - 1, m]):
            period -= 1
        if period > 0:
            for t in range(len(out)):
                put(x[t % period, m], out[t, m])
    return min(len(x), len(out))


@compiled
def _copy(x, start, step, count, out):  # type: ignore[no-untyped-def]
    for t in range(count):
        for m in range(x.shape[1]):
            put(x[start + t * step, m], out[t, m])


# x (T, M, V, C) -> out (C, T, V, M)
@compiled
def lay_out(x, out):  # type: ignore[no-untyped-def]
    channels, frames, joints, bodies = out.shape
    for c in range(channels):
        for t in range(frames):
            for v in range(joints):
                for m in range(bodies):
                    out[c, t, v, m] = x[t, m, v, c]
