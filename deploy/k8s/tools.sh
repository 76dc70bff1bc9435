# For the scripts here that source it: programs built from the registry of Go, kept in ~/.cache/skiplease/kubernetes.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/skiplease/kubernetes
mkdir -p "$cache"
kustomize_version=v5.5.0

# tool NAME MODULE VERSION: installs the program, and says where it is.
tool() {
  local folder=$cache/$1-$3
  [ -x "$folder/$1" ] || GOBIN=$folder go install "$2@$3" >&2
  echo "$folder/$1"
}
