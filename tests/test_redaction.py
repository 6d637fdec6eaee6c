"""Secrets in text are found; what merely looks like one is left alone."""

import pytest

from swath.redaction import places_of_secrets, redacted

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SIGNED = "https://bucket.s3.amazonaws.com/a.tif?X-Amz-Credential={key}%2F20261124&X-Amz-Signature={hash}&x=1"
HOLDING = {
    "access key": f"the key {KEY} is not known",
    "session key": f"the key ASIA{KEY[4:]} is not known",
    "signed URL": SIGNED.format(key=KEY, hash="fe5f80f77d5fa3beca038a248ff027d0"),
    "session token in a URL": f"GET /a?X-Amz-Security-Token={SECRET}",
    "password in a URL": f"https://me:{SECRET}@host/a",
    "assignment": f"AWS_SECRET_ACCESS_KEY={SECRET}",
    "JSON": f'{{"SecretAccessKey": "{SECRET}", "SessionToken": "{SECRET}"}}',
    "YAML": f"password: {SECRET}",
}


@pytest.mark.parametrize("text", HOLDING.values(), ids=HOLDING)
def test_a_secret_is_taken_out_and_the_rest_stays(text):
    said = redacted(text)
    assert not any(part in said for part in (KEY, KEY[4:], SECRET, SECRET[:20], "fe5f80f7"))
    assert "[secret]" in said
    assert said[:4] == text[:4]


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_the_keys_of_this_process_are_taken_out_wherever_they_stand(name, monkeypatch):
    monkeypatch.setenv(name, SECRET)
    assert redacted(f"refused ({SECRET})") == f"refused ([{name}])"


@pytest.mark.parametrize(
    "text",
    [
        "open  http://127.0.0.1:8000/?token=5f0b-explore-link",  # whom explore prints it for needs it
        "s3://bucket/tiles.lance: the pixels of tile a do not match their checksum",
        "swath metric: step=4 loss=7.25 images_per_s=120",
        "kms_key=1234abcd-12ab-34cd-56ef-1234567890ab",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for example with eval)",
    ],
)
def test_what_is_none_stays(text):
    assert redacted(text) == text


def test_a_request_says_where_it_holds_one():
    request = {
        "HyperParameters": {"tiles": f"https://me:{SECRET}@host/a", "steps": "5"},
        "Environment": {"HF_TOKEN": "short", "NCCL_DEBUG": "INFO"},
        "Tags": [{"Key": "team", "Value": KEY}],
        "ContainerEntrypoint": ["sh", f"PASSWORD={SECRET}"],
    }
    assert list(places_of_secrets(request)) == [
        "HyperParameters.tiles", "Environment.HF_TOKEN", "Tags.Value", "ContainerEntrypoint",
    ]  # fmt: skip
