# SPDX-License-Identifier: Apache-2.0
"""Help, manual page and completion come from one table, and each of them has all subcommands and options."""
import os
import re
import shutil
import subprocess

import pytest

from lab import PODVEIL, ROOT


def podveil(*arguments):
    done = subprocess.run([PODVEIL, *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table():
    """{subcommand: its options}, from --help."""
    names = re.findall(r"^  ([a-z]+) ", podveil("--help"), re.M)
    assert {"agent", "enable", "disable", "status", "verify", "doctor", "device"} <= set(names)
    return {n: set(re.findall(r"^ .*?(--[A-Za-z0-9-]+)", podveil(n, "--help"), re.M)) for n in names}


def test_help_is_good_everywhere():
    for name, options in table().items():
        assert "--help" in options
        for line in podveil(name, "--help").splitlines():
            assert len(line) <= 100 or "(" in line, line
        done = subprocess.run([PODVEIL, name, "--no-such-option"], capture_output=True, text=True)
        assert done.returncode == 2 and f"podveil {name} --help" in done.stderr


def test_manual_page():
    page = podveil("manual")
    for name, options in table().items():
        assert f".SS podveil {name}" in page
        for option in options - {"--help"}:
            if option[2:].startswith(("wireguard", "podveil", "prometheus", "routeSource")):
                assert f"\\fB{option[2:]}\\fR" in page
            else:
                assert "\\fB" + option.replace("-", "\\-") + "\\fR" in page, option
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u"], input=page, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "wireguardListeningPort" in done.stdout


def test_every_setting_is_in_the_resource_definition():
    """The settings in --help are the same as those in the resource definition of Kubernetes."""
    with open(os.path.join(ROOT, "deploy/kubernetes/crd/podveilconfigurations.yaml")) as f:
        definition = set(re.findall(r"^ +((?:wireguard|podveil|prometheus)\w+):$", f.read(), re.M))
    settings = {o[2:] for o in table()["agent"] if o.startswith(("--wireguard", "--podveil", "--prometheus"))}
    assert settings == definition


def complete_bash(words):
    script = podveil("completion", "bash") + f"""
COMP_WORDS=({' '.join("'" + w + "'" for w in words)}); COMP_CWORD={len(words) - 1}
_podveil; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-u", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return set(done.stdout.split())


def test_bash_completion():
    for name, options in table().items():
        assert complete_bash(["podveil", name, "--"]) == options
    assert set(table()) <= complete_bash(["podveil", ""])
    assert complete_bash(["podveil", "agent", "--log-level", ""]) == {"error", "warn", "info", "debug"}
    assert complete_bash(["podveil", "agent", "--podveilStrictMode", "t"]) == {"true"}
    assert "lo" in complete_bash(["podveil", "doctor", "--uplink", ""])
    assert complete_bash(["podveil", "completion", "z"]) == {"zsh"}


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completion(tmp_path):
    script = tmp_path / "podveil.fish"
    script.write_text(podveil("completion", "fish"))

    def complete(text):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{text}'"],
                              capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return {line.split("\t")[0] for line in done.stdout.splitlines()}

    assert set(table()) <= complete("podveil ")
    for name, options in table().items():
        assert options <= complete(f"podveil {name} --")
    assert complete("podveil agent --log-level ") == {"error", "warn", "info", "debug"}
    assert "lo" in complete("podveil doctor --uplink ")


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completion(tmp_path):
    """A zsh on its own terminal lists the right words when tab is pressed twice."""
    import pty
    import select
    import time
    (tmp_path / "_podveil").write_text(podveil("completion", "zsh"))

    def complete(text, wanted):
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="dumb", PS1="> ", ZDOTDIR=str(tmp_path), COLUMNS="200", LINES="200")
            os.execvp("zsh", ["zsh", "-f", "-i"])
        try:
            setup = (f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path}/dump; "
                     "LISTMAX=1000; stty rows 200 cols 200; zstyle ':completion:*' verbose no; echo re''ady\n")
            os.write(fd, setup.encode())
            out, deadline, sent = b"", time.monotonic() + 20, False
            while time.monotonic() < deadline and not all(w.encode() in out for w in wanted):
                if select.select([fd], [], [], 0.2)[0]:
                    out += os.read(fd, 65536)
                if not sent and b"ready\r" in out:
                    os.write(fd, text.encode() + b"\t\t")
                    out, sent = b"", True
            return out.decode(errors="replace")
        finally:
            os.kill(pid, 9)
            os.close(fd)
            os.waitpid(pid, 0)

    names = table()
    out = complete("podveil ", names)
    assert not [n for n in names if n not in out], out
    out = complete("podveil doctor --", names["doctor"])
    assert not [o for o in names["doctor"] if o not in out], out
    out = complete("podveil completion ", ["bash", "zsh", "fish"])
    assert "fish" in out, out
