# SPDX-License-Identifier: Apache-2.0
"""The benchmark computes correct results from its measurements: ratios of each round, verdicts, table, chart."""
import os
import sys
import xml.etree.ElementTree as ElementTree

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/bench"))

import bench  # noqa: E402
import chart  # noqa: E402
import contenders  # noqa: E402
import pages  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import targets  # noqa: E402

MACHINE = {"avx512": False, "avx2": True}


def result(machine=None, **podveil):
    """A result of three rounds. In the last one, the machine was half as fast for all."""
    values = {"tcp1": [1.0, 1.0, 0.5], "cpu": [0.1, 0.1, 0.1], "ping": [0.02, 0.02, 0.04]}
    return report.Result(machine or MACHINE, {
        "unencrypted": {"tcp1": [10.0, 10.0, 5.0], "ping": [0.02, 0.02, 0.04], "udp64_loss": [0, 0, 0]},
        "wireguard-go": {**values, "cpu": [1.0, 1.0, 1.0]},
        "podveil socket": {**values, **podveil}})


def verdict(result, what):
    return next(v for v in targets.verdicts(result, "podveil socket") if v.target == what)


def test_ratios_are_of_the_same_round():
    assert result(tcp1=[5.0, 4.0, 2.5]).ratios("podveil socket", "unencrypted", "tcp1") == [0.5, 0.4, 0.5]


@pytest.mark.parametrize("machine, share, reached", [
    (MACHINE, 0.41, True), (MACHINE, 0.39, False), ({"avx512": True}, 0.41, False), ({"avx512": True}, 0.5, True)])
def test_a_target_goes_by_the_kind_of_machine(machine, share, reached):
    tcp1 = [share * 10, share * 10, share * 5]
    assert verdict(result(machine, tcp1=tcp1), "TCP 1 stream, x unencrypted").reached is reached


@pytest.mark.parametrize("loss, reached", [([0, 0, 3], True), ([0, 0.01, 0.01], False)])
def test_no_loss_means_none_in_the_median(loss, reached):
    assert verdict(result(udp64_loss=loss), "UDP 64 B, loss at 90 % of that, %").reached is reached


def test_idle_ping_is_judged_by_what_it_adds():
    assert verdict(result(ping=[0.05, 0.05, 0.07]), "ping, idle path, unencrypted + ms").value == "0.030"


def test_what_was_not_measured_is_neither_reached_nor_missed():
    v = verdict(result(), "HTTP, x unencrypted")
    assert v.value is None and v.reached is None
    assert "not measured" in report.judgement(result())


def test_chart_has_a_bar_for_every_contender_of_every_measure():
    root = ElementTree.fromstring(chart.svg("a < b", [result()]))
    bars = [e.text for e in root.iter("{http://www.w3.org/2000/svg}title")][1:]
    assert bars == [f"{name}, {what}" for what in ("TCP 1 stream, Gbit/s", "ping, idle path, median, ms")
                    for name in ("wireguard-go", "podveil socket")]


def test_every_contender_has_a_colour():
    assert set(chart.COLOURS) == set(contenders.CONTENDERS)


def test_an_unknown_wire_mode_leaves_the_contender_out(monkeypatch):
    monkeypatch.setattr(contenders, "_help", lambda words: "--workers N")
    assert contenders.command("podveil per-packet")[1] == ["--per-packet"]
    with pytest.raises(contenders.LeftOut, match="knows no --wire"):
        contenders.command("podveil xdp")


def test_pages_show_the_tables_of_results():
    """README.md and docs/ show the tables in tests/bench/results, and no figure was typed by hand."""
    for page in pages.pages():
        with open(os.path.join(ROOT, page)) as f:
            lines = f.read().split("\n")
        assert pages.written(lines) == lines, page
        assert not list(pages.typed_figures(page, lines)), page


def test_a_typed_figure_is_found():
    """Outside generated tables and blocks of commands. A section with a date may have figures, but not in README.md."""
    generated = ["<!-- make docs: begin bench flood, from tests/bench/results/flood.json -->", "| a | 7 ms |", pages.END]
    lines = ["## One", "takes 3.5 Gbit/s", "```", "4 ms", "```", *generated, "## Two", "Measured 2026-01-01: 12 %"]
    assert list(pages.typed_figures("docs/device.md", lines)) == [(2, "3.5 Gbit/s")]
    assert list(pages.typed_figures("README.md", lines)) == [(2, "3.5 Gbit/s"), (10, "12 %")]


def test_a_table_goes_from_a_run_into_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FRESH", tmp_path)
    results.save("throughput", "make bench", "one round", ["unencrypted", "wireguard-go", "podveil socket"], report.rows(result()))
    shown = pages.block(results.load("throughput", tmp_path), pages.View(("unencrypted", "podveil socket")))
    assert shown[2:] == ["| | unencrypted | podveil socket |", "|---|---|---|", "| TCP 1 stream, Gbit/s | 10.00 | 1.00 (0.10) |",
                         "| UDP 64 B, loss at 90 % of that, % | 0.00 |  |", "| ping, idle path, median, ms | 0.020 | 0.020 (1.00) |",
                         "| CPU of everything at full speed, s/Gbit |  | 0.100 |"]


def test_stages_of_the_data_path_are_measured():
    """build/bench/stages runs to its end, and measures each backend and the stages that docs/benchmarks.md shows."""
    costs = bench.stages()
    assert costs, "build/bench/stages was not built: make build/bench/stages"
    assert {"libsodium", "openssl"} <= {row["name"] for row in bench.cipher_rows(costs)}
    assert {row["name"] for row in results.load("stages")["rows"]} <= set(costs)
