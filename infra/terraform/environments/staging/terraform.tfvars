# Values to set for your installation: image registry, release, repository.
image_registry = "ghcr.io/example/voting-app"

releases = {
  blue = { tag = "0.1.0" }
}

repository = {
  url = "https://github.com/example/voting-app.git"
  ref = "v0.1.0"
}
