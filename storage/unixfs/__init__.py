"""UnixFS: files and directories as trees of blocks, built and read on our side.

Sources: the UnixFS specification (ipfs/specs), IPIP-499 for the profiles.
"""

from storage.unixfs.build import Tree, add_file, add_tree, file_cid, file_tree
from storage.unixfs.directory import (
    add_directory,
    directory_cid,
    directory_entries,
    directory_entry,
    directory_tree,
    read_directory,
)
from storage.unixfs.profile import PROFILES, V0_2015, V1_2025, Profile
from storage.unixfs.read import file_blocks, read_file, read_stream, way_to

__all__ = [
    "PROFILES",
    "V0_2015",
    "V1_2025",
    "Profile",
    "Tree",
    "add_directory",
    "add_file",
    "add_tree",
    "directory_cid",
    "directory_entries",
    "directory_entry",
    "directory_tree",
    "file_blocks",
    "file_cid",
    "file_tree",
    "read_directory",
    "read_file",
    "read_stream",
    "way_to",
]
