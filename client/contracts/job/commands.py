"""The commands about jobs. Imports nothing: `learningchain --help` is quick."""

from client.cli.entries import Command, Family, Sections

SECTIONS: Sections = {
    "Jobs": (
        Family(
            "job",
            "Post, follow and fetch training jobs.",
            (
                Command(
                    "submit",
                    "cli.submit:submit",
                    "Post a job with a bounty.",
                    "job submit --image-archive job.tar --bounty 100 --expires 10m",
                ),
                Command("list", "cli.jobs:list_jobs", "Jobs of the network, newest first.", "job list --live"),
                Command("show", "cli.jobs:show", "Everything about one job.", "job show 3fa9c1"),
                Command("watch", "cli.watch:watch", "Follow a job until it has ended.", "job watch 3fa9c1"),
                Command(
                    "fetch",
                    "cli.jobs:fetch",
                    "Save the winner's model, checked against the ledger.",
                    "job fetch 3fa9c1 --out model.bin",
                ),
                Command("cancel-run", "cli.jobs:cancel_run", "Kill a run of this node.", "job cancel-run r-17"),
            ),
        ),
    ),
}

SAYS = {
    "GET /v1/jobs/{id}": "learningchain job show JOB",
    "GET /v1/jobs": "learningchain job list",
    "expires_in_s": "--expires",
}
