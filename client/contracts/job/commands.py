"""The commands about jobs. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Family, Sections

_SECTIONS: Sections = {
    "The node": (
        Family(
            "audit",
            "Check the blocks that this node took over by their certificates, by executing them.",
            (
                Command(
                    "job",
                    "cli.audit:audit_job",
                    "Recompute a job from genesis: its draws, votes, winner and payments.",
                    "audit job 3fa9c1 --evaluate",
                ),
            ),
        ),
    ),
    "Jobs": (
        Command(
            "earnings",
            "cli.earnings:earnings",
            "What this machine earned a day, and what jobs paid.",
            "earnings --days 7",
            asks=(0, 0),
        ),
        Command("pause", "cli.resting:pause", "Start no new training on this machine; what runs goes on.", "pause"),
        Command("resume", "cli.resting:resume", "Start trainings again after a pause.", "resume"),
        Family(
            "job",
            "Make, post, follow and fetch training jobs.",
            (
                Command("new", "cli.new:new", "Write a job that builds and runs, to begin from.", "job new my-job"),
                Command(
                    "build",
                    "cli.build:build",
                    "Make a job's image of a folder and a locked list of wheels, without Docker.",
                    "job build my-job --out my-job.tar",
                ),
                Command("lock", "cli.build:lock", "Lock the packages of a job's folder, with hashes.", "job lock my-job"),
                Command("base", "cli.build:base", "Write the base that job build takes, for another machine.", "job base base.tar"),
                Command(
                    "submit",
                    "cli.submit:submit",
                    "Post a job with a bounty, or see what that would cost.",
                    "job submit --image-archive job.tar --bounty 100 --expires 10m --dry-run",
                ),
                Command("list", "cli.jobs:list_jobs", "Jobs of the network, newest first.", "job list --live", asks=(0, 0)),
                Command("show", "cli.jobs:show", "Everything about one job.", "job show 3fa9c1", asks=(1, 1)),
                Command("watch", "cli.watch:watch", "Follow a job until it has ended.", "job watch 3fa9c1"),
                Command(
                    "fetch",
                    "cli.jobs:fetch",
                    "Save the winner's model, checked against the ledger.",
                    "job fetch 3fa9c1 --out model.bin",
                ),
                Command(
                    "recheck",
                    "cli.recheck:recheck",
                    "Evaluate a model of a job on this machine, and compare with what was claimed and voted.",
                    "job recheck 3fa9c1 --claimant alice",
                ),
                Command("cancel", "cli.changes:cancel", "Take back a job that nobody has claimed on.", "job cancel 3fa9c1"),
                Command(
                    "extend",
                    "cli.changes:extend",
                    "Give a job that nobody has claimed on more time.",
                    "job extend 3fa9c1 --expires 2h",
                ),
                Command(
                    "repost",
                    "cli.changes:repost",
                    "Post a job again that ended without a winner, changed where you like.",
                    "job repost 3fa9c1 --bounty 200 --expires 2h",
                ),
                Command("cancel-run", "cli.jobs:cancel_run", "Kill a run of this node.", "job cancel-run r-17"),
            ),
        ),
        Family(
            "image",
            "Try out the image of a job before it is posted.",
            (
                Command(
                    "check",
                    "cli.check:check",
                    "Run an image as a worker and as verifiers would, and say what to post.",
                    "image check job.tar",
                ),
            ),
        ),
        Family(
            "hidden",
            "Evaluation data that nobody can read before all models are shown.",
            (
                Command(
                    "seal",
                    "cli.hidden:seal",
                    "Encrypt a file for job submit --hidden; this node keeps the key and reveals it in time.",
                    "hidden seal hidden.csv",
                ),
            ),
        ),
    ),
}
_SAYS = {
    "GET /v1/jobs/{id}": "learningchain job show JOB",
    "GET /v1/jobs": "learningchain job list",
    "expires_in_s": "--expires",
}
PART = CommandsPart(_SECTIONS, _SAYS, find="references:find")
