# The tools, in the order in which a person meets them. One crate and one program each.
[
  "aidb"
  "aidb-precheck"
  "aidb-snapshot"
  "aidb-init-verify"
  "aidb-monitor"
]
