"""The one file that speaks to AWS: clients, and what its refusals mean in a line."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from swath.errors import MachineError, SwathError, UsageError

_NO_KEYS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_WRONG_KEYS = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
}
_OF_THE_SERVER = 500
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}


class UnreachableError(MachineError):
    """No answer came, or one of a server in trouble: the same question may be answered later."""


class Aws:
    """Clients of one region, made when first asked for.

    Raises:
        UsageError: boto3 is not installed, or no region is known.
    """

    def __init__(self, region: str | None = None) -> None:
        try:
            boto3 = importlib.import_module("boto3")
        except ImportError:
            raise UsageError('jobs need boto3: pip install "swath[sagemaker]"') from None
        self._session = boto3.session.Session(region_name=region)
        found: str | None = self._session.region_name
        if found is None:
            raise UsageError("no AWS region: give --region, or set AWS_DEFAULT_REGION")
        self.region = found
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """One a service: to make one takes a third of a second, and its connections are used again."""
        if service not in self._clients:
            with self.errors(service):
                self._clients[service] = self._session.client(service)
        return self._clients[service]

    @contextlib.contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn what boto3 raises about `what` into one line.

        Raises:
            UsageError: AWS refuses the request as it is asked for.
            MachineError: credentials, permissions, or no connection.
        """
        try:
            yield
        except SwathError:
            raise
        except Exception as error:
            said = in_words(what, error)
            if said is None:
                raise
            raise said from error


def in_words(what: str, error: Exception) -> SwathError | None:
    """The error for what boto3 raised; None where it is not one of boto3's."""
    kind = type(error).__name__
    if kind in _NO_KEYS:
        return MachineError(
            f"{what}: no AWS credentials; log in (aws sso login, aws configure) or set AWS_PROFILE"
        )
    if kind in {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
    }:
        return UnreachableError(f"{what}: AWS cannot be reached ({error}); look at the network and --region")
    if kind == "ProfileNotFound":
        return UsageError(f"{what}: {error}; `aws configure list-profiles` shows them")
    if kind == "ParamValidationError":
        return UsageError(f"{what}: {' '.join(str(error).split())}")
    response = getattr(error, "response", None)
    return _answer_in_words(what, response) if isinstance(response, dict) else None


def _answer_in_words(what: str, response: dict[str, Any]) -> SwathError:
    code, message = str(response["Error"].get("Code")), str(response["Error"].get("Message", "")).strip()
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= _OF_THE_SERVER:
        return UnreachableError(f"{what}: AWS answers {status}; try again later")
    if code in _DENIED and "PassRole" in message:
        code = "PassRole"
    kind_of, advice = _REFUSALS.get(code, (UsageError, "AWS refuses: {message}"))
    return kind_of(f"{what}: {advice.format(message=message or code)}")


_LOGIN = (MachineError, "the AWS token has expired; log in again and repeat the command")
_KEYS = (MachineError, "AWS does not know these credentials ({message}); look at AWS_PROFILE")
_ACCESS = (MachineError, "access denied ({message}); `swath sagemaker policy` prints what is needed")
_NOTHING = (UsageError, "there is no such bucket or key; look at --store and --region")
_REGION = (UsageError, "the bucket is in another region; give its --region")
_REFUSALS: dict[str, tuple[type[SwathError], str]] = {
    **dict.fromkeys(_EXPIRED, _LOGIN),
    **dict.fromkeys(_WRONG_KEYS, _KEYS),
    **dict.fromkeys(_DENIED, _ACCESS),
    **dict.fromkeys(("NoSuchBucket", "404"), _NOTHING),
    **dict.fromkeys(("PermanentRedirect", "301", "AuthorizationHeaderMalformed"), _REGION),
    "PassRole": (
        MachineError,
        "you may not pass this role ({message}); `swath sagemaker policy` prints the statement",
    ),
    "ResourceInUse": (UsageError, "the name is in use; choose another --job-name"),
    "ResourceLimitExceeded": (
        MachineError,
        "{message} Ask for it under Service Quotas, or take another --instance.",
    ),
}
