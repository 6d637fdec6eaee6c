"""Who gets in: Host, token, origin, and what the page may load."""

import pytest

from swath.arguments import validate
from swath.config import ExploreConfig
from swath.errors import UsageError
from swath.serve.explore.access import Access

ADDRESSES = [
    "/", "/page/main.js", "/api/archive", "/api/block", "/api/tile/0", "/api/neighbours/0", "/picture/0",
    "/sheet?rows=0", "/api/labels", "/labels/a.csv",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_is_shown_without_the_token(stranger, access, address):
    assert stranger.get(address).status_code == 403
    assert stranger.get(address, headers={"cookie": f"{access.cookie}=wrong"}).status_code == 403
    assert stranger.get("/?token=wrong").status_code == 403
    stranger.get(f"/?token={access.token}")
    assert stranger.get(address).status_code == (404 if address == "/labels/a.csv" else 200)


def test_the_token_leaves_the_address_bar_for_a_cookie_no_script_reads(stranger, access):
    answer = stranger.get(f"/?token={access.token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} < set(answer.headers["set-cookie"].split("; "))
    assert access.token not in repr(access)


@pytest.mark.parametrize(
    "host", ["evil.example:8123", "127.0.0.1:9999", "127.0.0.1", "10.0.0.1:8123", "", "[", "a:b"]
)
def test_another_host_is_refused_even_with_the_token(client, access, host):
    assert client.get("/api/archive", headers={"host": host}).status_code == 421
    assert client.get(f"/?token={access.token}", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost:8123", "[::1]:8123"])
def test_the_names_of_this_machine_are_known(client, access, host):
    cookie = {"cookie": f"{access.cookie}={access.token}"}
    assert client.get("/api/archive", headers={"host": host, **cookie}).status_code == 200


def test_an_open_server_is_known_by_addresses_and_its_own_names_but_by_no_other():
    access = Access(80, any_address=True, names=frozenset({"box"}))
    assert access.knows_host("192.168.0.7")
    assert access.knows_host("[fe80::1]:80")
    assert access.knows_host("box:80")
    assert not access.knows_host("rebound.example")
    assert not Access(80).knows_host("192.168.0.7")


def test_labels_are_taken_from_the_page_alone(client):
    body = {"label": "x", "positive": [0], "negative": []}
    assert client.post("/api/labels", json=body, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/api/labels", json=body, headers={"origin": "http://127.0.0.1:1"}).status_code == 403
    form = {"content-type": "text/plain"}
    assert client.post("/api/labels", content=b"{}", headers=form).status_code == 403
    assert (
        client.post("/api/labels", json=body, headers={"origin": "http://127.0.0.1:8123"}).status_code == 200
    )
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.request(method, "/api/labels").status_code == 405


def test_the_page_may_load_from_nowhere_but_here(client):
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "unsafe" not in policy
    streets = client.get("/?streets").headers["content-security-policy"]
    assert "img-src 'self' blob: https://tile.openstreetmap.org;" in streets
    assert streets.replace(" https://tile.openstreetmap.org", "") == policy
    for address in ("/api/archive", "/picture/0", "/page/style.css", "/nothing"):
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"] == policy


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"host": "192.0.2.7"}, "add --i-understand"),
        ({"host": "example.org"}, "add --i-understand"),
        ({"i_understand": True}, "would change nothing"),
        ({"host": "127.0.0.2", "i_understand": True}, "would change nothing"),
        ({"port": 0}, "--port 0"),
    ],
)
def test_the_page_is_opened_to_others_on_purpose_only(given, says):
    with pytest.raises(UsageError, match=says):
        validate(ExploreConfig, {"run": "run", **given})
    assert validate(ExploreConfig, {"run": "run", "host": "192.0.2.7", "i_understand": True})
