# install_packages PACKAGE...: installs the Debian packages of these that are missing. Says what is missing, and fails, if it
# cannot. Sourced.
install_packages() {
  local package missing=()
  for package; do dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || { echo "missing: ${missing[*]}"; return 1; }
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } > /dev/null 2>&1 ||
    { echo "cannot be installed: ${missing[*]}"; return 1; }
}
