"""Rights of a service in Kafka and PostgreSQL, and its principal: declared beside each service.

`ops/rights/registry.py` collects the declarations; a secure home's ACLs and grants are made from
them. Nothing else is allowed to anybody but the operator at the command line (`CLI`), who may do
everything. The words for tables are those of GRANT; columns are named where a service has no
business with the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

CLI = "cli"
"""The operator at the command line, who sets everything up."""

ANY = "*"
"""The end of a name that stands for every name with that beginning."""

READ = "SELECT"
UPSERT = "SELECT, INSERT, UPDATE"
MANAGE = "SELECT, INSERT, UPDATE, DELETE"

EVERY_SERVICE = {"sealing_keys": "SELECT, INSERT"}
"""Tables of every service that connects: it registers its key, and sees whether it lacks one."""


def granted(privileges: str, *tables: str) -> dict[str, str]:
    """Return the same privileges on each of the tables."""
    return dict.fromkeys(tables, privileges)


@dataclass(frozen=True, slots=True)
class Rights:
    """Rights of a service. A name that ends in `ANY` stands for all names with that prefix."""

    read_topics: tuple[str, ...] = ()
    written_topics: tuple[str, ...] = ()
    described_topics: tuple[str, ...] = ()  # topics whose configuration it reads
    groups: tuple[str, ...] = ()  # consumer groups that it joins
    described_groups: tuple[str, ...] = ()
    transactional_ids: tuple[str, ...] = ()
    describes_cluster: bool = False  # the list of groups, and sizes of partitions
    tables: Mapping[str, str] = field(default_factory=dict)  # privileges of GRANT, by table
