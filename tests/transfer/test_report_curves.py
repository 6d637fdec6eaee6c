"""What the page says of how a run learned, from its rows alone."""

import math

from swath.transfer.report.curves import learning_section
from swath.transfer.report.facts import RunFacts
from swath.transfer.report.headline import duration


def facts(rows, **recipe):
    return RunFacts(
        name="run", path="runs/run", recipe=recipe, reasons={}, command="", environment={}, metrics=rows,
        probes={}, checkpoint_step=None, checkpoint_digest="", written="",
    )  # fmt: skip


def rows(count, **more):
    return [{"step": n, "loss": 5.0, "entropy": 4.0, "kl": 1.0, **more} for n in range(1, count + 1)]


def test_the_parts_of_the_loss_stand_against_ln_of_the_prototypes():
    body = learning_section(facts(rows(10), out_dim=4096)).body
    assert f"ln(out_dim) {math.log(4096):.3f}" in body
    assert "ln(out_dim)" not in learning_section(facts([{"step": 1, "loss": 3.0, "hit_rate": 0.5}])).body


def test_a_collapse_is_named_with_its_steps():
    found = rows(10)
    for row in found[4:7]:
        row["collapse"] = "uniform output"
    body = learning_section(facts(found, out_dim=256)).body
    assert "Collapse from step 5 to 7: uniform output." in body
    assert "Collapse" not in learning_section(facts(rows(10), out_dim=256)).body


def test_the_time_of_training_is_what_the_run_counted_and_else_comes_from_its_speed():
    fast = [row | {"images_per_s": 64.0} for row in rows(20)]
    assert duration(facts(fast, batch_size=64)) == "20 s"
    assert duration(facts([row | {"seconds": 6.0 * row["step"]} for row in fast], batch_size=64)) == "2 min"
    assert duration(facts(rows(20), batch_size=64)) == "-"


def test_the_machine_is_drawn_over_time_and_a_gpu_where_there_is_one():
    sampled = {"cpu_percent": 90.0, "memory_percent": 40.0, "process_mib": 2048.0}
    timed = [row | {"seconds": 60.0 * row["step"]} | sampled for row in rows(10)]
    body = learning_section(facts(timed, out_dim=256)).body
    for title in ("Loss", "Processor, %", "Machine memory, %", "Process memory, GiB"):
        assert f'aria-label="{title} against the time of training in min"' in body
    assert "GPU" not in body
    timed = [row | {"gpu_percent": 80.0, "gpu_memory_mib": 10240.0} for row in timed]
    body = learning_section(facts(timed, out_dim=256)).body
    assert "GPU memory, GiB" in body
    assert "now 10" in body
    assert "The machine over time" not in learning_section(facts(rows(10), out_dim=256)).body
