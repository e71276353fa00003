//! What of a host's `/etc` an instance on the host's files must not see: keys, passwords, credentials. Some by name,
//! there or not yet; some as they are found.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files and folders below `/etc`.
const NAMES: [&str; 66] = [
    "aliases.db",
    "apt/auth.conf",
    "apt/auth.conf.d",
    "aws",
    "boto.cfg",
    "ceph",
    "cloud",
    "cloudflared",
    "cni",
    "consul.d",
    "containerd",
    "containers/auth.json",
    "credstore",
    "credstore.encrypted",
    "crypttab",
    "cryptsetup-keys.d",
    "dehydrated",
    "docker",
    "doas.conf",
    "exim4/passwd.client",
    "freeradius",
    "gshadow",
    "gshadow-",
    "hoist",
    "ipsec.d/private",
    "ipsec.secrets",
    "iwd",
    "krb5.keytab",
    "krb5kdc",
    "kubernetes",
    "ldap.secret",
    "letsencrypt",
    "libnss-ldap.secret",
    "libvirt/secrets",
    "machine-id",
    "machine-info",
    "msmtprc",
    "munge",
    "mysql/debian.cnf",
    "netplan",
    "NetworkManager/system-connections",
    "nomad.d",
    "nslcd.conf",
    "openvpn",
    "pam_ldap.secret",
    "pki/nssdb",
    "pki/tls/private",
    "postfix/sasl",
    "postfix/sasl_passwd",
    "ppp",
    "rancher",
    "rclone.conf",
    "samba",
    "security/opasswd",
    "shadow",
    "shadow-",
    "ssh",
    "ssl/private",
    "sssd",
    "sudoers",
    "sudoers.d",
    "swanctl",
    "tailscale",
    "vault.d",
    "wireguard",
    "wpa_supplicant",
];

/// Ends of names of files that hold keys.
const ENDS: [&str; 9] = [".key", ".keytab", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".env", ".ovpn"];

/// Parts of names of files and folders that hold secrets.
const WORDS: [&str; 9] = [
    "secret",
    "credential",
    "htpasswd",
    "privkey",
    "passwd.client",
    "sasl_passwd",
    "netrc",
    "apikey",
    "auth.json",
];

/// Folders of that name hold keys.
const FOLDERS: [&str; 3] = ["private", "secrets", "keys"];

/// More than any `/etc` has.
const MOST: usize = 50_000;

/// The paths to hide, from the base on.
pub(super) fn of(base: &Path) -> Vec<PathBuf> {
    let mut found: HashSet<PathBuf> = NAMES.iter().map(|name| Path::new("etc").join(name)).collect();
    let (mut waiting, mut looked_at) = (vec![PathBuf::from("etc")], 0);
    while let Some(folder) = waiting.pop() {
        for name in names(&base.join(&folder)) {
            let path = folder.join(&name);
            let Ok(meta) = fs::symlink_metadata(base.join(&path)) else { continue };
            looked_at += 1;
            if found.contains(&path) {
                continue;
            }
            if looked_at > MOST || !is_public(&meta) || is_secret(&name, meta.is_dir()) {
                found.insert(path);
            } else if meta.is_dir() {
                waiting.push(path);
            }
        }
    }
    found.into_iter().collect()
}

fn is_secret(name: &str, is_dir: bool) -> bool {
    let name = name.to_ascii_lowercase();
    if is_dir && FOLDERS.contains(&&*name) {
        return true;
    }
    let is_private_key = name.starts_with("id_") && !name.ends_with(".pub")
        || name.ends_with(".pem") && (name.contains("key") || name.contains("priv"));
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    !is_dir && (is_private_key || ENDS.iter().any(|end| name.ends_with(end))) || has(&WORDS)
}

/// The names in a folder; none where there is no folder to read.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether everybody on the host may read it.
fn is_public(meta: &Metadata) -> bool {
    let needed = if meta.is_dir() { 0o005 } else { 0o004 };
    meta.is_symlink() || meta.permissions().mode() & needed == needed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(files: &[(&str, u32)]) -> Vec<String> {
        let base = tempfile::tempdir().unwrap();
        for (path, mode) in files {
            let path = base.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        let hidden = of(base.path());
        let is_hidden =
            |path: &&(&str, u32)| hidden.iter().any(|hidden| Path::new(path.0).starts_with(hidden));
        files.iter().filter(is_hidden).map(|(path, _)| (*path).to_owned()).collect()
    }

    #[test]
    fn keys_and_passwords_are_found_by_name_place_and_mode() {
        let secret = [
            ("etc/shadow", 0o640),
            ("etc/nginx/ssl/server.key", 0o644),
            ("etc/app/tls/client-key.pem", 0o644),
            ("etc/pki/tls/private/k", 0o644),
            ("etc/letsencrypt/live/x/privkey.pem", 0o644),
            ("etc/deep/er/id_ed25519", 0o644),
            ("etc/app/db.conf", 0o640),
            ("etc/ssh/ssh_host_rsa_key", 0o644),
        ];
        assert_eq!(hidden(&secret), secret.map(|(path, _)| path.to_owned()));
    }

    #[test]
    fn what_programs_need_is_left() {
        let needed = [
            ("etc/passwd", 0o644),
            ("etc/group", 0o644),
            ("etc/pam.d/common-password", 0o644),
            ("etc/ssl/certs/ca-certificates.crt", 0o644),
            ("etc/ssl/certs/ISRG_Root_X1.pem", 0o644),
            ("etc/ssl/openssl.cnf", 0o644),
            ("etc/apt/trusted.gpg.d/debian.gpg", 0o644),
            ("etc/nginx/nginx.conf", 0o644),
            ("etc/ld.so.cache", 0o644),
            ("etc/alternatives/awk", 0o755),
            ("etc/deep/id_rsa.pub", 0o644),
        ];
        assert_eq!(hidden(&needed), Vec::<String>::new());
    }

    /// A name is hidden before there is anything of it.
    #[test]
    fn known_names_are_hidden_before_they_are_there() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("etc")).unwrap();
        assert!(of(base.path()).contains(&PathBuf::from("etc/krb5.keytab")));
    }
}
