# Yours: where the images are, which release runs, where the repository is.
image_registry = "ghcr.io/example/voting-app"

releases = {
  blue = { tag = "0.1.0" }
}

repository = {
  url = "https://github.com/example/voting-app.git"
  ref = "v0.1.0"
}
