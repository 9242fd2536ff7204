"""Every time after which something is dropped, forgotten, refused or ended: what is alive outlives it, what is dead goes.

`CASES` names for each such constant the test that plays it, and `TENFOLD` the one in which something alive is ten times as old;
where nothing alive can be, `NO_TENFOLD` says why. All other constants of time stand in `REASONS`, by why nothing honest is lost by
them. All are held against the code: a new constant without a line fails.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from learningchain.chain.contracts.job import JobParams
from learningchain.chain.contracts.membership import MemberParams
from learningchain.chain.params import ContractParams, votable
from learningchain.client.callbacks.database import SILENT_MS
from learningchain.client.config import LONGEST_RUN_S, WorkConfig
from learningchain.client.contracts.job.roles.secrets import KEEP_FALSE_MS
from tests.unit.test_times_tenfold import ALIVE

ROOT = Path(__file__).parents[2]
ROOMS = ("client", "p2p", "sandbox", "chain/node", "chain/storage")
TIME = re.compile(r"_?[A-Z0-9_]*?(_MS|_S|TTL|_AFTER|_TICKS|_STARTS|PATIENCE)")
ENDS = frozenset({"timeout", "wait_for", "call_later", "Timer"})
"""Calls that end something after a time: a number written into one stands here, too, as `timeout=5`."""

CASES: dict[str, str] = {
    "sandbox/docker/checkpoints.py LAST_S": (
        "tests/unit/test_sandbox_checkpoints.py::test_what_takes_too_long_after_the_end_is_left"
    ),
    "client/machines/hub.py LOST_S": "tests/unit/test_machines.py::test_a_run_is_over_where_its_machine_stays_away",
    "client/machines/rests.py LOSSES_S": "tests/unit/test_machines_resting.py::test_a_machine_that_starts_again_and_again_rests",
    "client/machines/hub.py BACK_S": "tests/unit/test_machines.py::test_a_run_goes_on_over_a_start_of_the_node",
    "client/machines/hub.py UNASKED_S": "tests/unit/test_machines.py::test_a_run_that_nobody_goes_on_with_ends_on_the_machine",
    "client/machines/leases.py LET_GO_S": "tests/unit/test_slurm.py::test_a_training_runs_on_a_lease_that_goes_with_it",
    "client/machines/leases.py SELF_TEST_S": "tests/unit/test_slurm.py::test_a_lease_whose_program_does_not_come_is_ended",
    "client/machines/program.py IDLE_S": "tests/unit/test_slurm.py::test_a_lease_that_gets_no_run_is_given_back",
    "client/cli/machine.py LAST_S": (
        "tests/unit/test_slurm.py::test_what_has_not_ended_shortly_before_the_lease_does_is_ended_in_order"
    ),
    "client/machines/book.py TOKEN_MS": "tests/unit/test_machines.py::test_a_token_is_good_for_one_machine_within_its_hour",
    "p2p/content/moves.py TICKET_MS": (
        "tests/unit/test_content_moves.py::test_a_ticket_is_used_for_a_part_of_its_time_and_then_asked_for_again"
    ),
    "p2p/content/moves.py MOVE_STALL_MS": "tests/unit/test_content_moves.py::test_one_that_brings_nothing_is_ended",
    "p2p/mover/mover.py IDLE_S": "tests/unit/test_mover.py::test_the_process_ends_when_nobody_needs_it_and_comes_back",
    "client/work/gone.py GONE_MS": (
        "tests/unit/test_work_lasting.py::test_what_is_held_for_something_alive_stays_for_as_long_as_it_lives"
    ),
    "client/work/events.py RECENT_MS": (
        "tests/unit/test_work_lasting.py::test_what_left_the_state_goes_by_the_word_of_its_own_contract_but_not_while_the_node_is_behind"
    ),
    "client/work/execution.py MAX_STARTS": (
        "tests/unit/test_work_restart.py::test_a_start_of_the_node_ends_no_training_and_only_its_own_end_counts"
    ),
    "client/work/database.py KEEP_MS": (
        "tests/unit/test_work_places.py::test_what_is_settled_is_kept_for_its_time_and_as_long_as_something_is_held_for_it"
    ),
    "client/contracts/job/roles/secrets.py KEEP_FALSE_MS": (
        "tests/unit/test_work_places.py::test_what_was_found_false_is_kept_for_its_whole_time_and_a_vote_as_long_as_its_job"
    ),
    "client/callbacks/database.py KEEP_MS": (
        "tests/unit/test_callbacks_database.py::test_a_target_waits_for_a_word_longer_than_anything_is_open_and_is_shown_for_a_month_after_its_end"
    ),
    "client/callbacks/database.py SILENT_MS": (
        "tests/unit/test_callbacks_database.py::test_a_target_waits_for_a_word_longer_than_anything_is_open_and_is_shown_for_a_month_after_its_end"
    ),
    "client/config/sections.py LONGEST_RUN_S": (
        "tests/unit/test_work_policy.py::test_a_training_of_hours_is_taken_on_and_a_longer_one_than_the_owner_wants_is_left_alone"
    ),
    "client/contracts/job/roles/verifier.py LARGE_MS": (
        "tests/unit/test_work_verifier.py::test_a_large_image_is_fetched_before_its_job_closes"
    ),
    "client/contracts/membership/roles/capacity.py START_MS": (
        "tests/unit/test_work_members.py::test_a_verifier_declares_what_its_settings_allow_of_its_machine_and_says_it_once"
    ),
    "client/contracts/membership/roles/box.py KEEP_MS": (
        "tests/unit/test_work_box_keys.py::test_old_private_keys_go_after_their_time_and_are_never_many"
    ),
    "client/contracts/federation/roles/cleanup.py KEEP_MS": (
        "tests/unit/test_federation_cleanup.py::test_at_the_end_only_the_best_model_and_what_it_was_made_of_stay_and_only_for_a_while"
    ),
    "client/contracts/federation/roles/cleanup.py BRING_MS": (
        "tests/unit/test_federation_cleanup.py::test_members_and_sponsor_fetch_what_the_best_model_was_made_of_once_it_has_ended"
    ),
    "client/contracts/federation/roles/quiet_runs.py FINAL_MS": (
        "tests/unit/test_federation_node.py::test_an_image_stays_after_the_end_for_the_final_model_on_own_data_and_no_longer"
    ),
    "client/contracts/federation/roles/keeping.py FETCH_MS": (
        "tests/unit/test_federation_status.py::test_a_vault_that_was_not_to_be_had_is_asked_for_again_after_a_while_alone"
    ),
    "client/contracts/federation/roles/keeping.py ASKED_MS": (
        "tests/unit/test_federation_status.py::test_a_vault_that_was_not_to_be_had_is_asked_for_again_after_a_while_alone"
    ),
    "client/contracts/federation/roles/vaulting.py FETCH_MS": (
        "tests/unit/test_federation_recovery.py::test_a_restored_backup_fetches_the_vaults_whose_files_it_has_not"
    ),
    "client/contracts/prediction/http/asked_once.py RUN_MS": (
        "tests/unit/test_api_prediction_once.py::test_a_key_outlives_its_result"
    ),
    "client/contracts/prediction/http/asked_once.py LONGER_MS": (
        "tests/unit/test_api_prediction_once.py::test_a_key_outlives_its_result"
    ),
    "client/contracts/prediction/roles/server.py FETCH_MS": (
        "tests/unit/test_work_prediction_server.py::test_an_answer_that_was_not_paid_waits_for_its_model_after_a_restart_though_nothing_moves"
    ),
    "client/api/tickets.py TICKET_S": "tests/unit/test_api_tickets.py::test_a_ticket_is_good_once_and_for_its_time",
    "client/api/route.py BODY_TIMEOUT_S": "tests/unit/test_api_http_listener.py::test_a_body_that_drips_is_given_up",
    "client/api/sessions.py LINK_S": "tests/unit/test_dashboard_sessions.py::test_a_link_opens_one_session_and_no_second",
    "client/api/sessions.py IDLE_S": (
        "tests/unit/test_dashboard_sessions.py::test_a_session_ends_when_it_rests_when_it_is_old_and_when_it_is_closed"
    ),
    "client/api/sessions.py LIFE_S": (
        "tests/unit/test_dashboard_sessions.py::test_a_session_ends_when_it_rests_when_it_is_old_and_when_it_is_closed"
    ),
    "client/keys/tokens.py KEEP_MS": "tests/unit/test_api_tokens.py::test_tokens_are_bounded_and_old_ones_go",
    "client/node/block_clock.py AHEAD_MS": (
        "tests/unit/test_block_clock.py::test_a_clock_that_is_wrong_counts_no_further_than_what_passed_since_the_block"
    ),
    "client/daemon/running.py PART_S": (
        "tests/unit/test_client_daemon_parts.py::test_who_left_hears_of_it_before_it_is_cut_off_and_who_was_banned_does_not"
    ),
    "client/notify/delivery.py COMMAND_S": (
        "tests/unit/test_notify.py::test_a_command_that_does_not_end_is_killed_with_what_it_started"
    ),
    "client/signer/server.py IDLE_S": "tests/unit/test_signer.py::test_a_node_that_falls_silent_loses_its_place",
    "client/work/stores.py AHEAD_MS": (
        "tests/unit/test_work_composed.py::test_a_clock_that_is_wrong_for_a_start_ends_nothing_that_is_kept_up_to_a_date"
    ),
    "client/work/transfers.py FETCH_MS": (
        "tests/unit/test_api_serving.py::test_a_large_model_on_a_slow_connection_is_waited_for_as_an_image_is"
    ),
    "client/work/transfers.py PATIENCE_S": (
        "tests/unit/test_work_transfers.py::test_slow_ones_make_room_for_those_that_wait_and_go_on_later_from_where_they_were"
    ),
    "client/work/transfers.py WINDOW_S": (
        "tests/unit/test_work_transfers.py::test_a_dripping_download_ends_after_a_window_and_not_after_its_whole_time"
    ),
    "client/work/transfers.py STEP_S": (
        "tests/unit/test_work_transfers.py::test_a_dripping_download_ends_after_a_window_and_not_after_its_whole_time"
    ),
    "client/work/warm.py PROVEN_S": (
        "tests/unit/test_work_warm.py::test_a_container_that_died_while_it_waited_is_replaced_and_one_that_waited_long_is_no_failure"
    ),
    "p2p/address_book.py FORMER_S": (
        "tests/unit/test_p2p_moves.py::test_a_former_address_is_forgotten_after_failed_dials_and_after_a_day"
    ),
    "p2p/content/exchange.py STALL_MS": (
        "tests/unit/test_content_exchange.py::test_who_lets_requests_lie_is_asked_for_one_block_until_it_delivers_again"
    ),
    "p2p/content/day.py DAY_MS": "tests/unit/test_content_day.py::test_a_peer_is_sent_the_bytes_of_a_day_in_a_day",
    "p2p/content/exchange.py NOBODY_MS": "tests/unit/test_content_exchange.py::test_nobody_has_it",
    "sandbox/docker/reaper.py LEAVE_S": "tests/sandbox/test_outliving.py::test_a_training_that_nobody_comes_back_for_ends",
    "sandbox/docker/reaper_program.py GRACE_S": "tests/unit/test_sandbox_reaper.py::test_what_becomes_of_a_container",
    "sandbox/docker/reaper_program.py SETTLE_S": "tests/unit/test_sandbox_reaper.py::test_what_becomes_of_a_container",
    "sandbox/docker/reaper_program.py GIVE_UP_S": "tests/unit/test_sandbox_reaper.py::test_what_becomes_of_a_container",
    "sandbox/docker/store.py PULL_WINDOW_S": (
        "tests/unit/test_sandbox_guard.py::test_a_pull_that_was_fast_once_is_given_up_when_it_drips"
    ),
    "sandbox/docker/store.py PULL_PATIENCE_S": (
        "tests/unit/test_sandbox_guard.py::test_a_pull_has_a_time_that_no_event_makes_longer"
    ),
    "chain/node/snapshot.py PATIENCE": "tests/unit/test_node_snapshot.py::test_who_makes_one_is_asked_again_for_a_while",
    "chain/node/double_sign_check.py FALLBACK_MS": (
        "tests/unit/test_node_double_sign_check.py::test_nothing_is_signed_before_a_quorum_was_heard"
    ),
}
"""By file and name: the test that plays what outlives it and what goes by it."""
TENFOLD: dict[str, str] = {
    "tests/unit/test_work_lasting.py::test_what_is_held_for_something_alive_stays_for_as_long_as_it_lives": """
        client/work/gone.py GONE_MS
        client/work/events.py RECENT_MS
    """,
    "tests/unit/test_work_restart.py::test_a_start_of_the_node_ends_no_training_and_only_its_own_end_counts": """
        client/work/execution.py MAX_STARTS
    """,
    "tests/unit/test_work_places.py::test_what_is_settled_is_kept_for_its_time_and_as_long_as_something_is_held_for_it": """
        client/work/database.py KEEP_MS
    """,
    "tests/unit/test_work_composed.py::test_a_clock_that_is_wrong_for_a_start_ends_nothing_that_is_kept_up_to_a_date": """
        client/work/stores.py AHEAD_MS
    """,
    "tests/unit/test_dashboard_sessions.py::test_a_session_ends_when_it_rests_when_it_is_old_and_when_it_is_closed": """
        client/api/sessions.py IDLE_S
    """,
    "tests/unit/test_node_double_sign_check.py::test_nothing_is_signed_before_a_quorum_was_heard": """
        chain/node/double_sign_check.py FALLBACK_MS
    """,
    "tests/unit/test_times_tenfold.py::test_what_is_alive_outlives_it_ten_times": "\n".join(ALIVE.values()),
}
"""By the test that makes something alive ten times as old: what of `CASES` it outlives."""
NO_TENFOLD: dict[str, str] = {
    "what it ends is a promise for a while, told with its end: who comes late asks for another": """
        client/machines/book.py TOKEN_MS
        client/api/tickets.py TICKET_S
        client/api/sessions.py LINK_S LIFE_S
    """,
    "it counts only while somebody is away or asks for nothing, and stops where that one is back, however long the work takes": """
        client/machines/hub.py LOST_S BACK_S UNASKED_S
        client/machines/leases.py SELF_TEST_S
        client/machines/program.py IDLE_S
        client/signer/server.py IDLE_S
        p2p/mover/mover.py IDLE_S
    """,
    "it begins with the end of what it is about: nothing of that is alive": """
        client/machines/leases.py LET_GO_S
        client/cli/machine.py LAST_S
        client/contracts/federation/roles/quiet_runs.py FINAL_MS
        client/contracts/prediction/http/asked_once.py RUN_MS LONGER_MS
        client/daemon/running.py PART_S
        sandbox/docker/reaper_program.py SETTLE_S GIVE_UP_S
    """,
    "one try: who still needs it tries again, by itself or, for a vault, at the next start and where its owner says so again": """
        client/contracts/federation/roles/cleanup.py BRING_MS
        client/contracts/federation/roles/keeping.py FETCH_MS ASKED_MS
        client/contracts/federation/roles/vaulting.py FETCH_MS
        client/contracts/prediction/roles/server.py FETCH_MS
        client/notify/delivery.py COMMAND_S
        client/api/route.py BODY_TIMEOUT_S
        chain/node/snapshot.py PATIENCE
    """,
    "nothing ends by it: when something begins, the window of a rate, how far a clock is believed, when somebody is warned": """
        client/contracts/job/roles/verifier.py LARGE_MS
        client/contracts/membership/roles/capacity.py START_MS
        client/machines/rests.py LOSSES_S
        p2p/content/day.py DAY_MS
        client/node/block_clock.py AHEAD_MS
    """,
}
"""Of `CASES`, by why nothing alive grows as old as ten times it."""
REASONS: dict[str, str] = {
    "a pause or a rate: what waits goes on after it": """
        client/contracts/federation/objects.py POLL_S
        client/machines/frames.py PING_S
        client/machines/gate.py DIALS_PER_S
        client/machines/hub.py CANCEL_LOOK_S FAILING_S
        client/machines/rests.py REST_S
        client/machines/leases.py LOOK_S PAUSE_S
        client/machines/program.py FIRST_PAUSE_S MAX_PAUSE_S TEST_AGAIN_S PRINT_S PROGRESS_S
        client/work/engine_watch.py LOOK_S
        client/work/machine_use.py LOOK_S OLD_S SAMPLE_S
        p2p/content/moves.py REST_MS FORGIVE_MS
        client/sdk/http.py COMING_S
        client/dashboard/live.py COMING_S
        p2p/content/rates.py WINDOW_MS STEP_MS
        p2p/mover/mover.py PAUSE_S SAME_S
        p2p/mover/sending.py WATCH_S
        p2p/mover/places.py TURN_S
        client/api/following.py KEEP_UP_S
        client/api/http_listener.py SWEEP_S LOG_WINDOW_S
        client/api/hub.py RETRY_S
        client/callbacks/service.py PRUNE_S LONGEST_S
        client/cli/lab.py POLL_S
        client/cli/ready.py POLL_S AGAIN_S
        client/cli/top.py REST_S LONGEST_S
        client/contracts/federation/cli/watch.py REST_S
        client/contracts/federation/http/joining.py POLL_S
        client/contracts/federation/http/member_api.py POLL_S
        client/contracts/federation/roles/awaited_runs.py AGAIN_MS
        client/contracts/federation/roles/keeping.py REPLY_MS
        client/contracts/federation/roles/member.py OFFER_MS
        client/contracts/federation/roles/panel.py ASK_MS
        client/contracts/federation/roles/ring.py RING_MS
        client/contracts/federation/roles/serving.py AGAIN_MS
        client/contracts/federation/roles/sponsor.py RETRY_MS
        client/contracts/federation/roles/vaulting.py ASK_MS
        client/contracts/federation/sdk.py POLL_S
        client/contracts/job/cli/local_runs.py SAMPLE_S
        client/contracts/job/cli/watch.py POLL_S REST_S
        client/contracts/job/objects.py POLL_S
        client/contracts/job/roles/ballots.py RETRY_MS
        client/contracts/job/roles/worker.py BRING_AHEAD_MS RETRY_MS AHEAD_MS
        client/contracts/membership/cli/entry.py LOOK_S
        client/contracts/membership/http/joining.py POLL_S
        client/contracts/membership/outsiders.py AGAIN_MS
        client/contracts/membership/roles/box.py OWNER_MS
        client/contracts/prediction/roles/asking.py LOOK_S
        client/contracts/prediction/roles/server.py RETRY_MS
        client/contracts/prediction/sdk.py BUSY_S
        client/dashboard/live.py PAUSE_S
        client/api/load.py EVERY_S
        client/daemon/identity.py ALONE_S
        client/daemon/running.py REFRESH_S
        client/node/database_watch.py EVERY_S
        client/node/disk_use.py EVERY_S
        client/node/driver.py GATHER_MS
        client/node/ledger.py ROOM_EVERY_S
        client/node/pruning.py AGAIN_S
        client/daemon/reports.py RETRY_S MAX_RETRY_S
        client/node/request_id.py LINES_PER_S
        client/daemon/restart.py _LOOK_S
        client/daemon/settings_watch.py EVERY_S
        client/node/snapshots.py REST_S
        client/notify/delivery.py FIRST_S MOST_S APART_S
        client/notify/service.py AGAIN_S LOOK_S
        client/sdk/node.py WATCH_AGAIN_S STANDS_S
        client/signer/remote.py PING_S FIRST_PAUSE_S MAX_PAUSE_S
        client/work/artifacts.py WRITE_AGAIN_S WRITE_AGAIN_MAX_S
        client/work/fetching.py FIRST_RETRY_S MAX_RETRY_S SHORT_TRY_S
        client/work/kept_secrets.py AGAIN_S
        client/work/outbox.py WAIT_S RETRY_S MAX_RETRY_S
        client/work/peers.py PER_S
        client/work/effects.py AGAIN_S
        client/work/prepared.py SOON_S AGAIN_S
        client/work/runner.py TICK_S PUMP_S
        client/work/warm.py RETRY_S RETRY_MOST_S
        client/work/warm_pool.py TICK_S
        p2p/content/exchange.py ENDGAME_MS ASK_AGAIN_MS
        p2p/content/service.py TICK_S RETRY_S
        p2p/lan.py REFRESH_S REPEAT_S ANSWER_S PAUSE_S
        p2p/listener.py KNOWN_S
        p2p/transport.py EXPIRE_S SEEK_S
        sandbox/docker/checkpoints.py EVERY_S
        sandbox/docker/engine.py _PAUSE_S
        sandbox/docker/probe_job.py PAUSE_S
        sandbox/docker/reaper.py AGAIN_S
        sandbox/docker/reaper_program.py LOOK_S LOOK_ALIVE_S
        sandbox/docker/runner.py _POLL_S _PROGRESS_EVERY_S
        sandbox/docker/warm.py LOOK_S
        sandbox/oci/containers.py WATCH_S
        sandbox/oci/engine_program.py LOOK_S
        chain/node/double_sign_check.py STABLE_TICKS
        chain/node/events.py TICK_MS LATE_MS
        chain/node/mempool.py REST_MS
        chain/node/node.py STATUS_TICKS REMIND_TICKS
        chain/node/sync.py PATIENCE BACKOFF_MS MAX_BACKOFF_MS
        chain/node/topology.py WAY_TICKS
    """,
    "one question or one wait: who asked is told that it is not over yet, and what it asked for goes on": """
        client/contracts/federation/objects.py SENT_S
        client/api/chain.py ROOM_S
        client/schema/bodies.py MAX_WAIT_S
        client/cli/ready.py GRACE_S
        client/config/writing.py LOCK_S
        client/contracts/federation/http/joining.py WISHED_S
        client/contracts/federation/http/member_api.py HOLD_S
        client/contracts/federation/http/sponsor_api.py FETCH_S
        client/contracts/federation/sdk.py HOLD_S
        client/contracts/job/objects.py POST_S
        client/contracts/membership/cli/entry.py ADMITTED_WITHIN_S SIGNER_S
        client/contracts/membership/http/joining.py ASK_S OTHERS_S PATIENCE_S GENESIS_S
        client/contracts/prediction/cli/requests.py WATCHED_S
        client/contracts/prediction/cli/shown.py WATCH_S
        client/contracts/prediction/http/inference_api.py BLOCK_S ANSWER_S
        client/contracts/prediction/http/schema.py MAX_WATCH_S
        client/contracts/prediction/http/serving_api.py HOLD_S
        client/contracts/prediction/roles/asking.py WATCH_S LONGEST_S
        client/contracts/prediction/schemas.py FETCH_S
        client/contracts/prediction/sdk.py POST_S WATCH_S
        client/dashboard/page.py WAIT_S FETCH_S
        client/daemon/running.py SIGNER_PATIENCE_S
        client/sdk/http.py TIMEOUT_S SILENCE_S
        client/sdk/plain.py CONNECT_S
        client/contracts/job/cli/mlflow.py TIMEOUT_S UPLOAD_S
        client/work/trials.py READY_S
        client/keys/tokens.py timeout=5.0 timeout=0.1
        client/node/backup.py timeout=30
    """,
    "a step of another machine or process that answers at once or not: it is tried again, or said": """
        client/machines/frames.py SILENT_S
        client/machines/gate.py HELLO_S
        client/machines/program.py CONNECT_S
        client/machines/slurm.py CALL_S END_S
        client/work/engine_watch.py ANSWER_S
        p2p/mover/receiving.py CONNECT_S
        p2p/mover/sending.py SILENCE_S TICKET_S
        client/callbacks/posting.py CONNECT_S ANSWER_S
        client/callbacks/resolving.py RESOLVE_S
        client/cli/doctor.py LOOK_S TEST_S
        client/cli/lab.py START_S STOP_S KILL_S LOOK_S ENGINE_S
        client/doctor/gpus.py ASK_S
        client/work/machine_use.py ASK_S
        client/doctor/machine.py CONNECT_S
        client/daemon/restart.py WAIT_S
        client/signer/remote.py ANSWER_S CONNECT_S
        client/signer/server.py HELLO_S HANDSHAKE_S
        client/api/events.py WRITE_TIMEOUT_S
        client/api/http_listener.py LINGER_S
        client/api/server.py SHUTDOWN_S
        client/work/runner.py STOP_S
        p2p/content/service.py SEND_FOR_S
        p2p/outsiders.py LARGE_S
        sandbox/building/base.py COMPILE_S _ANSWER_S
        sandbox/building/fetch.py FETCH_S
        sandbox/docker/engine.py CALL_TIMEOUT_S TRANSFER_TIMEOUT_S PULL_TIMEOUT_S
        sandbox/docker/reaper.py START_S
        sandbox/docker/reaper_program.py CALL_S
        sandbox/docker/runner.py _KILL_WAIT_S _OOM_WAIT_S
        sandbox/oci/containers.py START_S KILL_S
        sandbox/oci/groups.py _GONE_S
        sandbox/oci/host.py START_S
        sandbox/images.py timeout=60 timeout=120
        chain/storage/server.py LOCK_WAIT_MS
        chain/storage/server_look.py CONNECT_S STATEMENT_MS
    """,
    "time kept free before an end that the ledger sets, or allowed beside one": """
        client/machines/hub.py ENDING_S
        client/machines/slurm.py WARN_S
        p2p/content/moves.py SPARE_MS
        client/contracts/federation/roles/aggregator.py MARGIN_MS
        client/contracts/federation/roles/panel.py MARGIN_MS
        client/contracts/job/http/postings.py BLOCK_WAIT_MS
        client/contracts/job/roles/policy.py REVEAL_MARGIN_MS LEAST_MARGIN_MS LATE_REVEAL_MS RETRY_GRACE_MS SECOND_START_MS
        client/contracts/job/roles/verifier.py MAX_MARGIN_MS MIN_MARGIN_MS SLACK_S
        client/contracts/prediction/roles/server.py MAX_MARGIN_MS MIN_MARGIN_MS SECOND_S
        client/contracts/prediction/roles/trial.py LONGEST_S
        client/work/warm_pool.py ENGINE_S
        sandbox/docker/runner.py START_S _LATE_S
        sandbox/oci/engine_program.py LEAVE_S
        sandbox/docker/warm.py IDLE_CPU_S WARM_S
        sandbox/phases.py LONGEST_S
    """,
    "a copy of what is elsewhere: it is made or fetched again when somebody asks": """
        sandbox/docker/selftest.py _LEFT_S
        client/api/replay.py KEPT_S
        client/contracts/federation/roles/member.py KEEP_MS
        client/contracts/federation/roles/sponsor.py KEEP_MS
        client/node/helpers.py IDLE_S
        sandbox/oci/engine_program.py IDLE_S
        client/node/snapshots.py KEPT_S
        client/work/computing.py IDLE_S
        client/work/trials.py KEPT_S
        p2p/mdns.py TTL
    """,
    "what nobody waits for any more: its node ended the run minutes after the machine was gone": """
        client/machines/program.py KEEP_S
    """,
    "a measure of a report, a default or a unit: nothing ends by it": """
        client/contracts/job/pages.py WEEK_MS
        client/cli/doctor.py DRIFT_MS
        client/doctor/joined.py APART_MS
        client/config/checks.py DAY_MS
        client/contracts/job/cli/check.py SHORT_S
        client/contracts/prediction/cli/register.py _JUDGED_S
        client/contracts/job/http/postings.py MAX_DEFAULT_TRAIN_S
        client/contracts/job/roles/cleanup.py DAY_MS
        client/contracts/prediction/http/day_budget.py DAY_MS
        client/contracts/prediction/roles/asking.py DAY_S
        client/contracts/prediction/roles/server.py REST_MS
        client/doctor/database.py SLOW_TRIP_MS SLOW_COMMIT_MS
        client/doctor/machine.py SLOW_MS
        client/doctor/node.py STALE_S
        client/keys/tokens.py DAY_MS
        client/daemon/running.py GC_AFTER
        client/node/peer_clock.py OLD_MS
        client/notify/events.py FRESH_MS
    """,
}
"""By why nothing that is alive is lost by them: files with their constants."""


def targets(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module or class gives a value."""
    found = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in found:
        for name in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(name, ast.Name) and TIME.fullmatch(name.id):
                yield name.id


def written(node: ast.AST) -> Iterator[str]:
    """Numbers in a call that ends something."""
    if not isinstance(node, ast.Call):
        return
    called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    first = node.args[1:] if called == "wait_for" else node.args[:1]
    given = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"] + (first if called in ENDS else [])
    for value in given:
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value:
            yield f"timeout={value.value}"


def constants() -> set[str]:
    found = set()
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        tree, file = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT)
        bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
        found |= {f"{file} {name}" for body in bodies for node in body for name in targets(node)}
        found |= {f"{file} {name}" for node in ast.walk(tree) for name in written(node)}
    return found


def listed_in(table: dict[str, str]) -> list[str]:
    lines = [line.split() for text in table.values() for line in text.split("\n")]
    return [f"{file} {name}" for file, *names in (line for line in lines if line) for name in names]


def test_every_time_has_its_case_or_its_reason_and_once() -> None:
    listed = [*CASES, *listed_in(REASONS)]
    assert sorted(constants() - set(listed)) == [], "write a test of what outlives it and name it in CASES, or say why in REASONS"
    assert sorted(set(listed) - constants()) == []
    assert len(listed) == len(set(listed))


def test_each_end_is_outlived_ten_times_by_something_alive_or_says_why_not() -> None:
    assert sorted([*listed_in(TENFOLD), *listed_in(NO_TENFOLD)]) == sorted(CASES)


@pytest.mark.parametrize("test", sorted({*CASES.values(), *TENFOLD}))
def test_a_case_is_played_by_the_test_that_is_named(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def most(params: type[ContractParams], name: str) -> int:
    """What a vote may make of it."""
    bounds = votable(next(field for field in msgspec.structs.fields(params) if field.name == name))
    assert bounds is not None
    return bounds.high


def test_nothing_is_forgotten_sooner_than_votes_may_let_it_be_asked_for() -> None:
    assert most(JobParams, "job_max_open") < SILENT_MS
    assert most(MemberParams, "standing_life") <= KEEP_FALSE_MS


def test_a_node_takes_trainings_of_two_days_unless_its_owner_says_otherwise() -> None:
    assert WorkConfig().max_run_s == LONGEST_RUN_S == 2 * 86_400
