# All tools in one build: they share a workspace, and most of the time is spent on what they share.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  # Which programs are built; the demo is no tool and is built apart.
  programs ? import ./tools.nix,
  # Whether the unit tests of aidb-core run, which build a second profile of it: `checks.tests` does, not every user who
  # switches. The tests of the whole workspace want a home, sub-uids and minutes: `tests/run unit` and CI run them.
  doCheck ? false,
}:
let
  root = ../.;
  withPages = lib.intersectLists (import ./tools.nix) programs;
  only = lib.concatMap (program: [
    "--package"
    program
  ]) programs;
in
rustPlatform.buildRustPackage {
  pname = "aidb";
  inherit ((lib.importTOML ../Cargo.toml).workspace.package) version;

  src = lib.fileset.toSource {
    inherit root;
    # A change of a module or of a text builds nothing again; tests read some.
    fileset = lib.fileset.unions (
      [
        ../Cargo.toml
        ../Cargo.lock
        ../clippy.toml
        ../crates
        ../nix/catalog.json
        ../tests/fixtures
      ]
      ++ lib.optionals doCheck [
        ../README.md
        ../nix/cases.json
        ../tests/nix/golden
      ]
    );
  };

  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = only;
  cargoTestFlags = [
    "--package"
    "aidb-core"
    "--lib"
    "--no-fail-fast"
  ];
  inherit doCheck;
  # What the tests build is thrown away: nothing of it need be small or fast.
  buildType = if doCheck then "debug" else "release";

  nativeBuildInputs = [ installShellFiles ];

  # Each tool prints its own; `aidb` asks the others, and its page of `init-verify` is replaced by the tool's.
  postInstall = lib.optionalString (withPages != [ ] && stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    pages=$(mktemp -d)
    for program in ${lib.escapeShellArgs withPages}; do
      for shell in bash fish zsh; do
        "$out/bin/$program" --generate "complete-$shell" > "$pages/$program.$shell"
        installShellCompletion --cmd "$program" "--$shell" "$pages/$program.$shell"
      done
      "$out/bin/$program" --generate man "$pages"
    done
    for page in "$pages"/*.1; do
      installManPage "$page"
    done
  '';

  meta = {
    description = "Protects the data of self-hosted containers: checks, proven snapshots, restore";
    longDescription = ''
      Looks at the data of a container before it starts, keeps a snapshot before it stops, opens each snapshot to
      prove it, and brings one back with one command. For rootless Podman, declared by hand or in Home Manager.
    '';
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = lib.head programs;
  };
}
