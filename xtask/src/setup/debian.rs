//! Debian packages that are unpacked rather than installed: what a machine of another kernel is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::apt;
use super::apt::Apt;
use crate::process;

/// Sees to it that these packages, and whatever they depend on and this machine has not installed, are unpacked below
/// `root`, which is then laid over the machine's own root.
pub(crate) fn unpack(packages: &[&str], kernels: &[&str], root: &Path) -> anyhow::Result<()> {
    // In what it speaks of: whoever removes that removes the mark with it.
    let mark = root.join("complete");
    let Some(mut apt) = Apt::of_this_machine() else {
        bail!("there is no apt-get here, and machines are made of Debian's packages");
    };
    let kernels = images_of(kernels, &mut apt)?;
    let wanted = format!("{packages:?} {kernels:?}");
    if fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    println!(
        "Unpacking {} and {} below cargo's target folder, without installing them",
        packages.join(", "),
        kernels.join(", ")
    );
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    // Where the directories of the merged /usr are links, as on the machine itself.
    for directory in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(directory))?;
        std::os::unix::fs::symlink(format!("usr/{directory}"), root.join(directory))?;
    }
    let download = root.join("download");
    fs::create_dir(&download)?;
    let missing: Vec<String> = closure(packages, &download)?.into_iter().chain(kernels).collect();
    process::silent(apt::apt_get().arg("download").args(&missing).current_dir(&download))?;
    for entry in fs::read_dir(&download)? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|extension| extension == "deb") {
            extract(&archive, root)?;
        }
    }
    fs::remove_dir_all(&download)?;
    for entry in fs::read_dir(root.join("lib/modules"))? {
        depmod(root, &entry?.file_name().to_string_lossy())?;
    }
    fs::write(&mark, wanted)?;
    Ok(())
}

/// The packages that hold the images, which those named here depend on.
fn images_of(kernels: &[&str], apt: &mut Apt) -> anyhow::Result<Vec<String>> {
    let mut images = Vec::new();
    for kernel in kernels {
        apt.candidate(kernel)?
            .with_context(|| format!("no package repository of this machine has {kernel}"))?;
        let depends =
            process::silent(Command::new("apt-cache").args(["depends", kernel]).env("LC_ALL", "C"))?;
        let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        images
            .push(format!("linux-image-{}", image.with_context(|| format!("{kernel} depends on no image"))?));
    }
    Ok(images)
}

/// What the packages depend on, themselves among them, without what is installed here. apt is asked as if nothing was
/// installed: what is might stand in the way of what is wanted.
fn closure(packages: &[&str], folder: &Path) -> anyhow::Result<Vec<String>> {
    let nothing = folder.join("status");
    fs::write(&nothing, "")?;
    let mut apt_get = apt::apt_get();
    apt_get.args(["--simulate", "--no-install-recommends", "--option"]);
    apt_get.arg(format!("Dir::State::status={}", nothing.display())).arg("install").args(packages);
    let simulated = process::silent(&mut apt_get)?;
    let listed = process::silent(Command::new("dpkg-query").args([
        "--show",
        "--showformat",
        "${Package} ${db:Status-Status}\n",
    ]))?;
    let installed: BTreeSet<&str> =
        listed.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(wanted_in(&simulated).filter(|package| !installed.contains(package)).map(str::to_owned).collect())
}

/// The packages that apt would install. usrmerge changes the machine that it is installed on, and has nothing to unpack.
fn wanted_in(simulated: &str) -> impl Iterator<Item = &str> {
    simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .map(|package| package.split(':').next().unwrap_or(package))
        .filter(|package| *package != "usrmerge")
}

/// tar, unlike dpkg, can be told to leave the links to directories as they are.
fn extract(archive: &Path, root: &Path) -> anyhow::Result<()> {
    let mut dpkg = Command::new("dpkg-deb");
    let mut tarfile = dpkg
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--keep-directory-symlink", "--directory"]).arg(root);
    let status = tar.stdin(tarfile.stdout.take().context("its output is piped")?).status()?;
    if !(tarfile.wait()?.success() && status.success()) {
        bail!("cannot unpack {}", archive.display());
    }
    Ok(())
}

fn depmod(root: &Path, release: &str) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut depmod = Command::new(root.join("usr/bin/kmod"));
    depmod.arg0("depmod").arg("-b").arg(root).arg(release);
    depmod.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    process::silent(&mut depmod)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_install_is_read_from_what_it_says() {
        let said = "Reading package lists...\nInst libfdt1 (1.6.1-4+b1 Debian:12/stable [amd64])\n\
                    Inst libc6:amd64 (2.36 Debian)\nInst usrmerge (37)\nConf libfdt1 (1.6.1)\n";
        assert_eq!(wanted_in(said).collect::<Vec<_>>(), ["libfdt1", "libc6"]);
    }
}
