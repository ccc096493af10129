"""A CPU model is asked of the host's own QEMU, before a guest is defined with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import stand_in, step

# As QEMU 8.2 and QEMU 10.0 print it.
BEFORE = """Available CPUs:
x86 486                   (alias configured by machine type)
x86 486-v1
x86 EPYC-Rome-v4          AMD EPYC-Rome Processor
x86 max                   Enables all features supported by the accelerator in the current host

Recognized CPUID flags:
  3dnow 3dnowext abm
"""
NOW = """Available CPUs:
  486                   (alias configured by machine type)
  EPYC-Rome-v4          AMD EPYC-Rome Processor
  max                   Enables all features supported by the accelerator in the current host

Recognized CPUID flags:
  3dnow 3dnowext abm
"""
ARM = """Available CPUs:
  a64fx
  cortex-a57
  max
"""
POWER_BEFORE = """PowerPC 970fx            (alias for 970fx_v3.1)
PowerPC power9_v2.0      PVR 004e1200
PowerPC power9           (alias for power9_v2.0)

"""
POWER = """Available CPUs:
  970fx            (alias for 970fx_v3.1)
  power9_v2.0      PVR 004e1200
  power9           (alias for power9_v2.2)

"""
S390_BEFORE = """s390 qemu            QEMU Virtual CPU version 2.5+       (migration-safe)
s390 max             Enables all features supported by the accelerator in the current host

Recognized feature flags:
etoken               Etoken facility
"""


@pytest.mark.parametrize(
    ("says", "model", "has"),
    [
        (BEFORE, "EPYC-Rome-v4", "486, 486-v1, EPYC-Rome-v4, max"),
        (BEFORE, "EPYC-Rome", "486, 486-v1, EPYC-Rome-v4, max"),
        (NOW, "max", "486, EPYC-Rome-v4, max"),
        (NOW, "3dnow", "486, EPYC-Rome-v4, max"),
        (NOW, "x86", "486, EPYC-Rome-v4, max"),
        (POWER_BEFORE, "power9", "970fx, power9_v2.0, power9"),
        (POWER, "power9", "970fx, power9_v2.0, power9"),
        (S390_BEFORE, "qemu", "qemu, max"),
        (S390_BEFORE, "etoken", "qemu, max"),
        (ARM, "cortex-a57", "a64fx, cortex-a57, max"),
        (ARM, "cortex.a57", "a64fx, cortex-a57, max"),
    ],
)
def test_a_model_is_one_that_the_host_s_emulator_has(tmp_path: Path, says: str, model: str, has: str) -> None:
    (tmp_path / "help").write_text(says)
    emulator = tmp_path / "qemu-system-any"
    version = 'echo "QEMU emulator version 1.2"; echo "(c)"'
    stand_in(tmp_path, emulator.name, f"case $1 in -cpu) cat {tmp_path}/help ;; *) {version} ;; esac")
    asked = f"source {REPOSITORY}/hostscripts/emulator.sh; emulator_has {emulator} {model} nodeTypes.a.cpuModel"
    done = step(tmp_path, "eval", asked)
    if model in has.split(", "):
        assert (done.returncode, done.stderr) == (0, "")
    else:
        said = (
            f"nodeTypes.a.cpuModel: {model} is no CPU model of QEMU emulator version 1.2 on this host, which has {has}"
        )
        assert done.returncode == 1
        assert said in done.stderr
