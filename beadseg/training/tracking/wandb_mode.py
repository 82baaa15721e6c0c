"""Whether runs are sent to W&B online or afterwards: decided once per process.

Nothing leaves the machine unless the user has logged in to W&B or asked for online.
Then the server is asked once, in the background, who the user is; without a good answer
within seconds all runs of the process are kept offline, and `wandb sync` sends them.
"""

import json
import netrc
import os
import threading
import time
from pathlib import Path
from shlex import quote
from urllib.parse import urlparse

from beadseg.errors import note

DECIDE = 5.0  # s for an answer, from when it was asked
_OLD_NAMES = {"dryrun": "offline", "run": "online"}  # of modes, which W&B still takes
_QUESTION = {"query": "query Viewer { viewer { id } }"}


class _Answer:
    """The one question of this process, and what came of it."""

    def __init__(self) -> None:
        self.reason: str | None = None  # why all is kept offline
        self.said = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._came: str | None = f"no answer within {DECIDE:g} s"

    def ask(self) -> None:
        """Asks in the background, if that was not done before."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._ask, daemon=True)
                self._thread.start()
                self._until = time.monotonic() + DECIDE

    def offline_because(self) -> str | None:
        """Why W&B cannot be online; None where it can. Waits for the answer."""
        self.ask()
        if self.reason is None:
            self._thread.join(max(self._until - time.monotonic(), 0.0))
            self.reason = self._came
        return self.reason

    def _ask(self) -> None:
        self._came = _why_not()


_answer = _Answer()


def ask_early(configured: str) -> None:
    """Asks W&B's server while other things are made ready, if it is to be online."""
    if _wanted(configured) == "online":
        _answer.ask()


def mode_of(configured: str) -> str:
    """How W&B is to run: "online", "offline" or "off".

    `configured` is config.log.wandb. That it goes offline against the user's wish is
    said once.
    """
    wanted = _wanted(configured)
    if wanted != "online":
        return wanted
    reason = _answer.offline_because()
    if reason is None:
        return "online"
    give_up(reason)
    return "offline"


def give_up(reason: str) -> None:
    """Keeps all further runs of this process offline, and says so once."""
    _answer.reason = reason
    if not _answer.said:
        _answer.said = True
        note(
            f"W&B cannot start online ({reason}): runs are kept offline; to send one "
            "later: wandb sync RUN/wandb/offline-run-*"
        )


def sync_command(folder: Path) -> list[str]:
    """The line that says how to send the runs in a folder that are offline, if any."""
    kept = []
    for depth in ("", "*/", "*/*/"):  # of a run, of self-training, of a sweep
        where = f"{depth}wandb/offline-run-*"
        if any(not [*run.glob("*.synced")] for run in folder.glob(where)):
            kept.append(f"{quote(str(folder))}/{where}")
    return [f"W&B is offline; to send: wandb sync {' '.join(kept)}"] if kept else []


def base_url() -> str:
    """Where W&B's server is."""
    return (os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").rstrip("/")


def _wanted(configured: str) -> str:
    mode = configured
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE") or ("online" if _key() else "offline")
    mode = _OLD_NAMES.get(mode, mode)
    return "off" if mode == "disabled" else mode


def _key() -> str | None:
    """The user's login, from where `wandb login` keeps it."""
    key = os.environ.get("WANDB_API_KEY")
    if key:
        return key
    try:
        login = netrc.netrc().authenticators(urlparse(base_url()).hostname or "")
    except (OSError, RuntimeError, ValueError, netrc.NetrcParseError):
        return None
    return login[2] if login else None


def _why_not() -> str | None:
    import requests  # of wandb, which comes later: that takes seconds

    key, url = _key(), base_url()
    try:
        answer = requests.post(
            f"{url}/graphql",
            json=_QUESTION,
            auth=("api", key) if key else None,
            timeout=DECIDE,
        )
        if answer.status_code in (401, 403):
            return f"{url} refuses the key: wandb login"
        if answer.status_code >= 400:
            return f"{url} answers {answer.status_code}"
        viewer = json.loads(answer.text)["data"]["viewer"]
    except requests.RequestException as error:
        return f"{url} does not answer: {type(error).__name__}"
    except (ValueError, KeyError, TypeError):
        return f"what answers at {url} is not W&B"
    if viewer is None and not os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return f"no login at {url}: wandb login"
    return None
