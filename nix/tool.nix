# One tool alone: its program, completions and man page, as links into the build that made all of them.
{
  lib,
  runCommand,
  aidb,
  name,
}:
runCommand "${name}-${aidb.version}"
  {
    meta = {
      description = "The `${name}` tool of aidb";
      inherit (aidb.meta) license platforms;
      mainProgram = name;
    };
  }
  ''
    mkdir -p $out/bin
    ln -s ${aidb}/bin/${name} $out/bin/${name}
    for share in \
      bash-completion/completions/${name}.bash \
      fish/vendor_completions.d/${name}.fish \
      zsh/site-functions/_${name} \
      man/man1/${name}.1.gz
    do
      if [ -e "${aidb}/share/$share" ]; then
        mkdir -p "$out/share/$(dirname "$share")"
        ln -s "${aidb}/share/$share" "$out/share/$share"
      fi
    done
  ''
