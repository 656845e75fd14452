"""`coffer init`: a party's home folder."""

from __future__ import annotations

from cli import wiring
from cli.console import reported, say, show_json
from cli.home import Home, Settings, settings_from
from cli.machine import simulator_key
from cli.options import HomeOption, JsonOption
from cli.sealed_files import write_private

CONFIG = """\
# Coffer's settings for this folder. A COFFER_… variable stands above a line here, a flag above both.
# Remove the "#" of a line to set it. Passwords never belong here: use COFFER_PASSWORD, or be asked.

# storage = "/ip4/127.0.0.1/tcp/5001"   # an IPFS node, or a folder; the embedded store in this folder by default
# copies = 2                            # verified copies wanted of each dataset; one at every place by default
# records = "postgresql+psycopg://user@host/coffer"   # a database; SQLite in this folder by default
# custodians = ["127.0.0.1:7100"]       # host:port of each custodian
# enclave = "127.0.0.1:7200"            # host:port of the enclave
# model = "/opt/models/my-model"        # a folder with safetensors weights; the packaged MiniLM by default
# model_sha256 = "…"                    # SHA-256 of that model's weights: required with model
# index = "hnsw"                        # enclave: how large datasets are searched; see: coffer index plan
# index_recall = "95%"                  # enclave: what an approximate index is tuned to
# index_from = 100000                   # enclave: smaller datasets are searched exactly
# device = "cuda"                       # enclave: a GPU to embed and search on
# reranker = "/opt/models/my-reranker"  # enclave: a folder with a cross-encoder's files
# reranker_sha256 = "…"                 # over those files: required with reranker
# dtype = "float32"                     # or "bfloat16"; what this processor is fast at by default
# tee = "dstack"                        # enclave: or tdx, snp, nitro, simulated; what is found here by default
# pccs = "https://pccs.example"         # enclave, TDX: where Intel's collateral is fetched; Intel's own by default
# rims = "/etc/coffer/rims"             # enclave: NVIDIA's RIM files for this machine's GPUs; none by default
# production = true                     # refuse SIMULATED TEEs whatever a policy says

# Further places for copies of datasets, each under a name of yours; a token never belongs here: coffer storage token.
# places.attic.kind = "directory"       # or ipfs, pinning, filecoin; gateway, for reading only
# places.attic.at = "/mnt/attic/coffer" # a folder, a node's multiaddr, or a URL
"""


def made_home(settings: Settings) -> bool:
    """Make a home folder; say whether it is new. What is there already stays."""
    place = Home(settings.home)
    is_new = not place.config.exists()
    place.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_new:
        place.path.chmod(0o700)
        write_private(place.config, CONFIG.encode())
    wiring.open_database(settings).close()
    simulator_key(place)
    return is_new


def init(home: HomeOption = None, json: JsonOption = False) -> None:
    """Make this party's home folder: settings, records, and the key of its simulated TEE.

    Running it again changes nothing. Next: coffer wallet new NAME.
    """
    with reported():
        settings = settings_from(home=home)
        place = Home(settings.home)
        is_new = made_home(settings)
        if json:
            show_json({"home": str(place.path), "made": is_new})
        elif is_new:
            say(f"made {place.path}\nsettings are in {place.config}; next: coffer wallet new NAME")
        else:
            say(f"{place.path} is there already; nothing was changed")
