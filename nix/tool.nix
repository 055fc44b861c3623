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
      ${aidb}/share/bash-completion/completions/${name}.bash \
      ${aidb}/share/fish/vendor_completions.d/${name}.fish \
      ${aidb}/share/zsh/site-functions/_${name} \
      ${aidb}/share/man/man1/${name}.1* \
      ${aidb}/share/man/man1/${name}-*.1*
    do
      if [ ! -e "$share" ]; then continue; fi
      mkdir -p "$out/$(dirname "''${share#${aidb}/}")"
      ln -s "$share" "$out/''${share#${aidb}/}"
    done
  ''
