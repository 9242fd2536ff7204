"""Run by the generator's own environment: `python reads.py URL JOB ACCOUNT TOKEN_FILE FOLDER`, where FOLDER holds the package
`generated`. Imports every module of it, reads a job and a balance, asks for what is refused. Prints what it found as JSON."""

import importlib
import json
import pkgutil
import sys
from pathlib import Path


def main(url: str, job: str, account: str, token: str, folder: str) -> None:
    sys.path.insert(0, folder)
    generated = importlib.import_module("generated")
    modules = [one.name for one in pkgutil.walk_packages(generated.__path__, "generated.")]
    for name in modules:
        importlib.import_module(name)
    from generated.api.accounts import get_account  # type: ignore[import-not-found]
    from generated.api.job import get_job, post_job  # type: ignore[import-not-found]
    from generated.models import ErrorResponse, JobRequest, JobView  # type: ignore[import-not-found]

    client = generated.AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
    with client as client:
        shown = get_job.sync(job, client=client)
        assert isinstance(shown, JobView), shown
        holder = get_account.sync(account, client=client)
        missing = get_job.sync_detailed("00" * 32, client=client)
        assert isinstance(missing.parsed, ErrorResponse), missing
        asked = JobRequest.from_dict({"image": {"reference": "example.org/none:1"}, "bounty": "1", "expires_in_s": 60})
        refused = post_job.sync_detailed(client=client, body=asked)
        assert isinstance(refused.parsed, ErrorResponse), refused
    found = {
        "operations": sum(name.startswith("generated.api.") and name.count(".") == 3 for name in modules),
        "state": shown.state,
        "winner": shown.winner,
        "bounty": shown.bounty,
        "loss": shown.claims[0].loss,
        "votes": [vote.vote for round_ in shown.rounds for seat in round_.committee for vote in seat.votes],
        "balance": holder.balance,
        "missing": [int(missing.status_code), missing.parsed.error.name],
        "refused": [int(refused.status_code), refused.parsed.error.name],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    url, job, account, token, folder = sys.argv[1:]
    main(url, job, account, Path(token).read_text().strip(), folder)
