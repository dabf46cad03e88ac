"""An OpenID Connect issuer on loopback: IAM's stand-in."""
