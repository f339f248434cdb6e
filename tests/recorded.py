"""A device's recordings, played on a CPU: they burn in, read and write what CUDA's graphs would."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default)
UNTOLD = ("running_mean", "running_var")  # of batch norms, which do not say that they write there
EMPTY = ("aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided", "aten::new_empty_strided")


def tensors(given):
    return [each for each in tree_leaves(given) if isinstance(each, torch.Tensor)]


def places(given):
    """The same memory, whatever becomes of a tensor's shape."""
    return tree_map_only(torch.Tensor, torch.Tensor.detach, given)


def written(func, args, kwargs):
    """The arguments that an operator writes to."""
    arguments = func._schema.arguments
    given = dict(zip((a.name for a in arguments), args, strict=False)) | kwargs
    names = [a.name for a in arguments if a.alias_info and a.alias_info.is_write]
    names += UNTOLD if "batch_norm" in func._schema.name and "backward" not in func._schema.name else ()
    return [tensor for name in names for tensor in tensors(given.get(name))]


def gives_views(func):
    """Whether what an operator gives lies in its arguments' memory, which it leaves as it is."""
    return any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)


class Tape(TorchDispatchMode):
    """Writes down every operator with its very tensors, and its numbers as they are; and nothing has happened then."""

    def __init__(self):
        super().__init__()
        self.calls, self.before = [], {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in WAITS:
            raise RuntimeError(f"{func}: operation not permitted when stream is capturing")
        for tensor in written(func, args, kwargs):
            storage = tensor.untyped_storage()
            self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        given = places((args, kwargs))
        found = func(*args, **kwargs)
        self.calls.append((func, given, places(found)))
        return found

    def undo(self):
        for storage, before in self.before.values():
            storage.copy_(before)

    @torch.no_grad()
    def replay(self):
        for func, given, found in self.calls:
            if gives_views(func) or func._schema.name in EMPTY:
                continue
            args, kwargs = places(given)
            for to, value in zip(tensors(found), tensors(func(*args, **kwargs)), strict=True):
                if to.untyped_storage().data_ptr() != value.untyped_storage().data_ptr():
                    to.copy_(value)


class TapeRecorder:
    """Records by tapes; `fail` lets that many recordings work, and then breaks in the middle of one."""

    def __init__(self, fail=None):
        self.fail, self.tapes, self.set_aside = fail, [], 0

    @contextmanager
    def aside(self):
        self.set_aside += 1
        yield

    def record(self, call):
        random, tape = torch.get_rng_state(), Tape()
        with tape:
            found = call()
        if self.fail is not None and len(self.tapes) == self.fail:
            raise RuntimeError("the capture was invalidated\nby another thread")
        tape.undo()
        torch.set_rng_state(random)
        self.tapes.append(tape)
        return found, tape.replay
