//! Rebuilds the crate when a migration changes: a macro compiles them in, which cargo cannot see.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
