"""Files as other projects' scripts make them of NTU RGB+D recordings, in plain NumPy, from what those scripts do.

A recording is a list of frames, a frame a list of (body id, joints (25, 3)), as in `twins`. Every writer takes
recordings by name and writes what its script writes, in the order in which that goes through them.
"""

import pickle

import h5py
import numpy as np
import preset_twins
import twins

TRAIN_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)


def subject(name):
    return int(name[9:12])


def label(name):
    return int(name[17:20]) - 1


def parts(recordings):
    """Names of the training part and of the rest, by xsub60."""
    names = sorted(recordings)
    return {
        "train": [n for n in names if subject(n) in TRAIN_60],
        "val": [n for n in names if subject(n) not in TRAIN_60],
    }


def by_subject(recordings):
    """The same as CTR-GCN's script goes through them: subject by subject."""
    return {part: sorted(names, key=subject) for part, names in parts(recordings).items()}


def write_named(to, array, recordings, clip_of, num_frame=False):
    """`clip_of`: recording -> (T, 2, 25, 3)."""
    to.mkdir(parents=True)
    files = []
    for part, names in parts(recordings).items():
        clips = np.stack([clip_of(recordings[n]) for n in names]).transpose(0, 4, 1, 3, 2)
        files += [to / f"{part}_{array}.npy", to / f"{part}_label.pkl"]
        np.save(files[-2], clips.astype(np.float32))
        files[-1].write_bytes(pickle.dumps(([n + ".skeleton" for n in names], [label(n) for n in names])))
        if num_frame:
            files.append(to / f"{part}_num_frame.npy")
            np.save(files[-1], np.array([len(recordings[n]) for n in names]))
    return files


def padded(x):
    return preset_twins.padded(x, 300)


def stgcn(to, recordings):
    """tools/ntu_gendata.py of ST-GCN and of AimCLR."""
    return write_named(to, "data", recordings, lambda recording: padded(twins.first(recording)))


def agcn(to, recordings, num_frame=False):
    """data_gen/ntu_gendata.py of 2s-AGCN; of CMD with the lengths."""
    return write_named(to, "data_joint", recordings, lambda r: preset_twins.isc_of(twins.energy(r), 300), num_frame)


def aimclr(to, recordings, frames):
    """feeder/preprocess_ntu.py of AimCLR, after its gendata."""
    from skelpipe.clips.prepare import Settings

    def clip_of(recording):
        return twins.prepare(recording, Settings(frames=frames))[0].transpose(1, 3, 2, 0)

    return write_named(to, "position", recordings, clip_of)


def bodies_left(recording):
    """How many bodies the denoising leaves, before it makes two actors of them."""
    chosen = twins.tracked([frame for frame in recording if frame])
    if len(chosen) < 2:
        return len(chosen)
    return len(twins.without_sprawling([b for b in chosen if len(b["points"]) > 11] or chosen))


def denoised(recording, copied=False):
    """seq_transformation.py of SGN and CTR-GCN; its NTU-120 one copies a body that is alone."""
    x = padded(preset_twins.ctr(recording, None)[0])
    if copied and bodies_left(recording) == 1:
        x[:, 1] = x[:, 0]
    return x.reshape(300, 150).astype(np.float32)


def ctrgcn(path, recordings, classes=60, copied=False):
    arrays = {}
    for part, names in by_subject(recordings).items():
        key = "test" if part == "val" else part
        arrays[f"x_{key}"] = np.stack([denoised(recordings[n], copied) for n in names])
        arrays[f"y_{key}"] = np.eye(classes)[[label(n) for n in names]]
    np.savez(path, **arrays)
    return [path]


def sgn(path, recordings):
    """The last of the training clips are for validation."""
    names = by_subject(recordings)
    divided = {"": names["train"][:-1], "valid_": names["train"][-1:], "test_": names["val"]}
    with h5py.File(path, "w") as file:
        for prefix, some in divided.items():
            file[f"{prefix}x"] = np.stack([denoised(recordings[n]) for n in some])
            file[f"{prefix}y"] = np.eye(60)[[label(n) for n in some]]
    return [path]


def annotations(path, recordings, points_of):
    """`points_of`: recording -> (M, F, 25, 3)."""
    made = []
    for name in sorted(recordings):
        points = points_of(recordings[name]).astype(np.float16)
        made.append({"frame_dir": name, "label": label(name), "keypoint": points, "total_frames": points.shape[1]})
    split = {f"xsub_{part}": names for part, names in parts(recordings).items()}
    path.write_bytes(pickle.dumps({"split": split, "annotations": made}))
    return [path]


def pyskl(path, recordings):
    """tools/data/ntu_preproc.py: if the first body is not there at once, and the second is, the two change places."""

    def points_of(recording):
        x = twins.denoise(recording)
        if bodies_left(recording) == 1:
            return x[:, :1].transpose(1, 0, 2, 3)
        swapped = not x[0, 0].any() and x[0, 1].any()
        return x[:, :: -1 if swapped else 1].transpose(1, 0, 2, 3)

    return annotations(path, recordings, points_of)


def mmaction2(path, recordings):
    """tools/data/skeleton/gen_ntu_rgbd_raw.py: bodies that were never there are left out."""

    def points_of(recording):
        x = twins.energy(recording).transpose(1, 0, 2, 3)
        return x[x.any(axis=(1, 2, 3))]

    return annotations(path, recordings, points_of)


# PKU-MMD. Videos by name, (F, 150); their labels by name, rows of class, start, end, confidence.
def cut(video, row):
    """As CMD's, PCM3's and MAMP's: from the frame after the start to the end, the first 300; (F, 2, 25, 3)."""
    return video[row[1] : row[2]][:300].reshape(-1, 2, 25, 3)


def pku_agcn(to, videos, labels, training):
    """data_gen/pku_gendata.py of CMD and PCM3: both bodies, labels as numbers with a point."""
    to.mkdir(parents=True)
    files = []
    for part in ("train", "val"):
        some = [(v, i) for v in sorted(videos) for i in range(len(labels[v])) if (v in training) == (part == "train")]
        cuts = [cut(videos[v], labels[v][i]) for v, i in some]
        files += [to / f"{part}_data_joint.npy", to / f"{part}_label.pkl", to / f"{part}_num_frame.npy"]
        clips = np.stack([preset_twins.isc_of(x, 300) for x in cuts]).transpose(0, 4, 1, 3, 2)
        np.save(files[-3], clips.astype(np.float32))
        called = [f"{v}.txt_{i}" for v, i in some]
        files[-2].write_bytes(pickle.dumps((called, [np.float64(labels[v][i][0] - 1) for v, i in some])))
        np.save(files[-1], np.array([len(x) for x in cuts]))
    return files


def pku_mamp(path, videos, labels, training):
    """data/pku_v1/pku_gendata.py of MAMP: both bodies where they were seen, clips of nothing left out."""
    arrays = {}
    for part in ("train", "test"):
        some = [(v, row) for v in sorted(videos) for row in labels[v] if (v in training) == (part == "train")]
        some = [(v, row) for v, row in some if cut(videos[v], row).any()]
        arrays[f"x_{part}"] = np.stack([padded(cut(videos[v], row)).reshape(300, 150) for v, row in some])
        arrays[f"x_{part}"] = arrays[f"x_{part}"].astype(np.float32)
        arrays[f"y_{part}"] = np.eye(51)[[row[0] - 1 for _, row in some]]
    np.savez(path, **arrays)
    return [path]
