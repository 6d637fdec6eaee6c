"""A run on the 144 packed tiles of one scene, opened as the page's server opens it."""

import contextlib
import shutil

import pytest
import torch
from starlette.testclient import TestClient

from swath.data.store import TileStore
from swath.models.vit import VisionTransformer, ViTShape
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.run import Run
from swath.serve.explore.access import Access
from swath.serve.explore.archive import open_archive
from swath.serve.explore.routes import make_app

PORT = 8123


@pytest.fixture(scope="session")
def explored_run(packed, tmp_path_factory):
    """The folder of a run whose network never trained; its random filters tell textures apart."""
    store = TileStore(packed)
    path = tmp_path_factory.mktemp("explored") / "run"
    asked = {"tiles": str(packed), "recipe": {"method": "dino"}, "asked": {"pack": store.digest}}
    run = Run.create(path, asked, command="swath pretrain")
    shape = ViTShape(width=24, depth=2, heads=2, patch_size=4, in_channels=3, image_px=32)
    network = VisionTransformer(shape, generator=torch.Generator().manual_seed(0))
    teacher = {f"backbone.{name}": 1.5 * tensor for name, tensor in network.state_dict().items()}
    state = {"step": 1, "vit": shape.to_json(), "tiles": store.format.to_json()}
    save_checkpoint(run.checkpoints, step=1, tensors={"teacher": teacher}, state=state)
    return path


@pytest.fixture(scope="session")
def opened(explored_run):
    return open_archive(Run.open(explored_run), None)


@pytest.fixture
def explored(opened):
    """The archive, without labels of another test."""
    shutil.rmtree(opened.run / "labels", ignore_errors=True)
    return opened


@pytest.fixture
def access():
    return Access(PORT)


@pytest.fixture
def stranger(explored, access):
    """A client that knows the address and nothing else."""
    with _client(explored, access) as client:
        yield client


@pytest.fixture
def client(stranger, access):
    """A client that opened the link."""
    return _let_in(stranger, access)


@pytest.fixture
def client_of(access):
    """`client_of(run)`: as `client`, of the page of another run, until the block ends."""

    @contextlib.contextmanager
    def opened(run):
        with _client(open_archive(run, None), access) as client:
            yield _let_in(client, access)

    return opened


def _client(archive, access):
    address = f"http://127.0.0.1:{PORT}"
    return TestClient(make_app(archive, access), base_url=address, follow_redirects=False)


def _let_in(client, access):
    assert client.get(f"/?token={access.token}").status_code == 303
    return client
