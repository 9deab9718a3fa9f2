"""Training by several processes: sums, statistics and gradients are those of one process with the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from examples.faceclip import ranks

ROOT = Path(__file__).parent.parent


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(144, 5)).double()


def learn(folder=None):
    """Two steps on one batch, by a mean with weights and by what compares rows; return all numbers."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(8, 3, 8, 8, generator=generator).double()
    weights = torch.rand(8, generator=generator).double()
    model = network()
    ranks.normalize_together(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        rows, own = ranks.share(images, parts=2), ranks.share(weights, parts=2)
        out = model(rows)
        apart = (out.square().mean(1) * own).sum() / ranks.total(own.sum())  # this process's part of a sum
        every = ranks.gather(model(ranks.share(images)))  # the whole of it, in every process
        together = (every @ every.T).softmax(1).diagonal().mean()
        optimizer.zero_grad()
        (apart + together).backward()
        ranks.add_gradients(model.parameters())
        optimizer.step()
    assert ranks.agree(1.5 if ranks.is_first() else 2.5) == 1.5
    if folder is not None and ranks.is_first():
        torch.save((model.state_dict(), every.detach()), Path(folder) / "model.pt")
    return model.state_dict(), every.detach()


def test_two_processes_learn_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # as torchrun says it
    place |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path)], env=os.environ | place | {"RANK": rank}, stderr=subprocess.PIPE
        )
        for rank in "01"
    ]
    assert [each.communicate()[1] for each in processes] == [b"", b""]
    one, other = learn(), torch.load(tmp_path / "model.pt")
    assert torch.allclose(one[1], other[1], atol=1e-10)
    for name, value in one[0].items():
        assert torch.allclose(value, other[0][name], atol=1e-10), name
    begun = network().state_dict()
    assert all(not torch.equal(value, begun[name]) for name, value in one[0].items())


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 2)
    with pytest.raises(ValueError, match="a batch must have a multiple of 4 rows; got 6"):
        ranks.share(torch.zeros(6, 3), parts=2)


if __name__ == "__main__":
    with ranks.joined():
        learn(sys.argv[1])
    sys.stderr.flush()
    os._exit(0)  # torch's own threads abort an interpreter that ends under load, once in many runs
