"""What a scraper sees of readiness, of families and of totals."""

from lykta_common.health import Health
from lykta_common.metrics import Family, Metrics, Total


async def test_readiness_follows_the_last_answers_of_the_checks() -> None:
    """A service is not ready before its checks were asked, nor while one fails, which is named."""
    metrics, answers = Metrics("audit"), [RuntimeError("away")]

    async def database() -> None:
        if answers:
            raise answers.pop()

    health = Health({"database": database})
    metrics.watch(health)
    read = metrics.registry.get_sample_value
    failing = {"check": "database"}
    assert (read("lykta_audit_ready"), read("lykta_audit_check_failing", failing)) == (0, 0)
    await health.failures()
    assert (read("lykta_audit_ready"), read("lykta_audit_check_failing", failing)) == (0, 1)
    await health.failures()
    assert (read("lykta_audit_ready"), read("lykta_audit_check_failing", failing)) == (1, 0)


def test_a_series_that_is_not_shown_again_disappears() -> None:
    """A family holds exactly what was shown last; what is known and did not occur is 0."""
    metrics = Metrics("audit")
    family = Family(metrics.gauge("sessions", "Sessions", ["state"]))
    family.count(["open", "open", "odd"], known=["open", "shut"])
    read = metrics.registry.get_sample_value
    assert [read("lykta_audit_sessions", {"state": name}) for name in ("open", "shut", "odd")] == [2, 0, 1]
    family.count([], known=["open", "shut"])
    assert [read("lykta_audit_sessions", {"state": name}) for name in ("open", "shut", "odd")] == [0, 0, None]


def test_a_total_never_falls() -> None:
    """A counter follows a total, and a smaller total than before changes nothing."""
    metrics = Metrics("audit")
    total = Total(metrics.counter("parts", "Parts"))
    for value in (3, 2, 5):
        total.show(value)
    assert metrics.registry.get_sample_value("lykta_audit_parts_total") == 5
