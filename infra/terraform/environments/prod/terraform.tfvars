# Values to set for your installation: image registry, release, repository, host names of the pages.
image_registry = "ghcr.io/example/voting-app"

releases = {
  blue = { tag = "0.1.0" }
}

repository = {
  url = "https://github.com/example/voting-app.git"
  ref = "v0.1.0"
}

https = true
domain = {
  zone_id = "Z0123456789ABC"
  vote    = "vote.example.org"
  result  = "result.example.org"
}
