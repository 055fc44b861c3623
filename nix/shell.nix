# What working on the project needs.
{
  mkShell,
  cargo,
  clippy,
  nixfmt,
  rust-analyzer,
  rustc,
  rustfmt,
  shellcheck,
  sqlite,
}:
mkShell {
  packages = [
    cargo
    clippy
    nixfmt
    rust-analyzer
    rustc
    rustfmt
    shellcheck
    sqlite
  ];
}
