#!/usr/bin/env bash
# Installs two COSE libraries beside the project, in an environment of their own: they need an older cbor2 than ours.
# tests/vault/test_cose_witnesses.py then asks them what they make of our receipts.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
.venv/bin/python -m venv .venv-cose
.venv-cose/bin/python -m pip install --disable-pip-version-check --quiet \
  asn1crypto==1.5.1 attrs==26.1.0 cbor2==5.9.0 certvalidator==0.11.1 cffi==2.1.1 cryptography==50.0.2 cwt==3.3.0 \
  ecdsa==0.19.2 oscrypto==1.3.0 pycose==1.1.0 pycparser==3.12 pyhpke==0.6.5
.venv/bin/python -m pytest -q -n0 tests/vault/test_cose_witnesses.py
