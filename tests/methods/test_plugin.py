"""The block of CrosNNCLR in a method that the package does not know: all it asks for is a query and a key view."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelpipe.methods import POSITIVES
from skelpipe.methods.positives import Pair


class Toy(nn.Module):
    """Somebody's own method: one linear layer is both networks, and the last 16 keys are the queue."""

    def __init__(self, positives):
        super().__init__()
        self.positives, self.layer = positives, nn.Linear(6, 4)
        self.queue = nn.functional.normalize(torch.randn(4, 16), dim=0)

    def forward(self, query, key, epoch):
        q, k = (nn.functional.normalize(self.layer(view), dim=1) for view in (query, key))
        loss = self.positives(Pair(q, k.detach(), self.queue, temperature=0.2), epoch)
        self.queue = torch.cat([self.queue[:, len(k) :], k.detach().t()], dim=1)
        return loss


@pytest.mark.parametrize("form", ["equation", "released", "algorithm1"])
def test_a_ten_line_method_can_use_the_block(form):
    torch.manual_seed(0)
    block = POSITIVES["cross_view"]
    toy = Toy(block(block.Options(form=form, nn_start_epoch=10)))
    sgd = torch.optim.SGD(toy.parameters(), 0.1, momentum=0.9)
    clips = torch.randn(64, 6)  # more than the queue holds, so that no clip meets its own older key
    losses, gaps = [], []
    for step in range(160):
        epoch = 1 + step // 8
        query, key = clips[step % 8 :: 8] + 0.05 * torch.randn(2, 8, 6)
        plain = Pair(*(nn.functional.normalize(toy.layer(v), dim=1).detach() for v in (query, key)), toy.queue, 0.2)
        loss = toy(query, key, epoch)
        gaps.append(abs(float(loss.detach()) - float(plain.info_nce)))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(float(loss.detach()))
    assert max(gaps[:80]) < 1e-5  # InfoNCE until the neighbours' epoch
    assert sorted(gaps[80:])[8] > 1e-2  # then the block's own loss, which now and then meets it
    assert sum(losses[72:80]) < sum(losses[8:16])
    assert all(torch.isfinite(p).all() for p in toy.parameters())
