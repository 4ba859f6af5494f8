//! A self-signed certificate for local servers.

use std::{fs, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};

/// A certificate and its key in PEM.
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

impl Certificate {
    pub fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate can be created");
        Self {
            certificate: cert.pem(),
            key: signing_key.serialize_pem(),
        }
    }

    /// Writes both into a folder, readable for the owner only.
    pub fn write(&self, folder: &Path, owner: Option<u32>) -> Result<(), String> {
        use std::os::unix::fs::{PermissionsExt, chown};
        for (name, content) in [("cert.pem", &self.certificate), ("key.pem", &self.key)] {
            let path = folder.join(name);
            let written = fs::write(&path, content)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
                .and_then(|()| chown(&path, owner, None));
            written.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
