"""A GPU's measurements held against reference manifests: what each of them has to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from enclave.attestation.errors import MeasurementMismatch
from enclave.attestation.nvidia import require_reference
from enclave.attestation.rim import DRIVER, KINDS, VBIOS
from tests.enclave.attestation.nvidia_gpu import BLOCKS, FWID, NVDEC0_OFF, Gpu, Manifest
from tests.people import seeded

DRIVER_MANIFEST, VBIOS_MANIFEST = Manifest(), Manifest(version="96.00.9F.00.01", entries={2: [BLOCKS[3]]})


def test_both_manifests_bear_out_every_active_measurement() -> None:
    rims = [DRIVER_MANIFEST.rim(), VBIOS_MANIFEST.rim()]
    assert require_reference(Gpu().claims(), rims) == 3
    assert require_reference(Gpu().claims(), rims[::-1]) == 3


def test_one_alternative_is_enough() -> None:
    manifest = DRIVER_MANIFEST.with_(entries={10: [seeded("older", 48), BLOCKS[11]]})
    assert require_reference(Gpu().claims(), [manifest.rim()], kinds={DRIVER}) == 1


def test_an_inactive_reference_is_not_compared() -> None:
    manifest = DRIVER_MANIFEST.with_(inactive={0: [seeded("unused", 48)]})
    assert require_reference(Gpu().claims(), [manifest.rim()], kinds={DRIVER}) == 2


def test_an_unused_block_may_be_wanted_unused() -> None:
    manifest = DRIVER_MANIFEST.with_(entries={1: [bytes(48)]})
    assert require_reference(Gpu().claims(), [manifest.rim()], kinds={DRIVER}) == 1


MISMATCHES: Mapping[str, tuple[Manifest, str]] = {
    "other value": (Manifest(entries={10: [seeded("older", 48)]}), "rim index 10: found"),
    "unused instead": (Manifest(entries={10: [bytes(48)]}), "rim index 10: found"),
    "one block off": (Manifest(entries={11: [BLOCKS[11]]}), "rim index 11: found 0000000000000000"),
    "block the report lacks": (Manifest(entries={64: [bytes(48)]}), "rim index 64: found no such block"),
    "several": (Manifest(entries={10: [FWID], 12: [FWID], 14: [FWID]}), "also at 12, 14"),
    "other version": (Manifest(version="550.90.12"), "found one for 550.90.12, wanted 550.90.07"),
    "longer version": (Manifest(version="550.90.07.01"), "wanted 550.90.07"),
    "other chip": (Manifest(product="GB100"), "found one for GB100, wanted GH100"),
    "nothing active": (Manifest(entries={}), "set no measurement"),
    "an entry of a later form": (
        Manifest(more='<Resource type="Measurement" index="1044" active="True" name="minimum"/>'),
        "cannot judge its entry minimum",
    ),
    "an entry of another type": (
        Manifest(more='<Resource type="Configuration" index="1" active="True" name="c"/>'),
        "cannot judge its entry c",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_a_manifest_that_does_not_fit_is_refused(name: str) -> None:
    manifest, told = MISMATCHES[name]
    with pytest.raises(MeasurementMismatch, match=told):
        require_reference(Gpu().claims(), [manifest.rim()], kinds={DRIVER})


def test_manifests_that_set_the_same_index_conflict() -> None:
    rims = [DRIVER_MANIFEST.rim(), VBIOS_MANIFEST.with_(entries={10: [BLOCKS[11]]}).rim()]
    with pytest.raises(MeasurementMismatch, match="both manifests set index 10"):
        require_reference(Gpu().claims(), rims)


@pytest.mark.parametrize("kinds", [(), (DRIVER,), (VBIOS,), (DRIVER, DRIVER), (DRIVER, VBIOS, VBIOS)])
def test_one_manifest_of_each_kind_is_wanted(kinds: Sequence[str]) -> None:
    manifests = {DRIVER: DRIVER_MANIFEST, VBIOS: VBIOS_MANIFEST}
    with pytest.raises(MeasurementMismatch, match="wanted one each of"):
        require_reference(Gpu().claims(), [manifests[kind].rim() for kind in kinds])
    assert sorted(manifests) == sorted(KINDS)


def test_the_vbios_version_is_the_same_in_either_case() -> None:
    gpu = Gpu().with_field(6, bytes.fromhex("00ab009601000000"))
    assert require_reference(gpu.claims(), [VBIOS_MANIFEST.with_(version="96.00.AB.00.01").rim()], kinds={VBIOS}) == 1


def test_the_decoder_s_measurement_counts_unless_the_report_says_it_is_off() -> None:
    manifest = DRIVER_MANIFEST.with_(entries={10: [BLOCKS[11]], 35: [seeded("decoder", 48)]})
    for gpu in (Gpu(), Gpu().with_field(11, None), Gpu().with_field(11, b"\0"), Gpu().with_field(11, b"\x55\x55")):
        with pytest.raises(MeasurementMismatch, match="rim index 35"):
            require_reference(gpu.claims(), [manifest.rim()], kinds={DRIVER})
    off = Gpu().with_field(11, NVDEC0_OFF).claims()
    assert require_reference(off, [manifest.rim()], kinds={DRIVER}) == 1
