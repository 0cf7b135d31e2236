"""Plants defects among the good training pictures, and measures what blemish train --contamination makes of it (docs/contamination.md).

    python3 contamination.py BLEMISH DIR WORK [--rate 0.1] [--seed 0] [--every 1] [--modes clean dirty auto 0.1] [--train method=padim ...]

DIR has train/<good> and test/<kind>, BLEMISH is the command, WORK is an empty folder for links and models. Of n good pictures and p planted ones,
p/(n+p) is the rate. The planted ones are taken from the test split at random, and are not judged. --every 5 takes every fifth good
training picture. All models are compared on the same test pictures: of the clean set, of the dirty one, and of the dirty one screened.
clean-auto screens the clean set.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import time

CLEAN = {"good", "clean", "normal", "ok"}


def link(files, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for f in files:
        os.symlink(f.resolve(), folder / f"{f.parent.name}_{f.name}")


def run(blemish, *args):
    done = subprocess.run([blemish, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main():
    p = argparse.ArgumentParser()
    p.add_argument("blemish"), p.add_argument("dir", type=pathlib.Path), p.add_argument("work", type=pathlib.Path)
    p.add_argument("--rate", type=float, default=0.1), p.add_argument("--seed", type=int, default=0), p.add_argument("--every", type=int, default=1)
    p.add_argument("--modes", nargs="*", default=["clean", "dirty", "auto", "0.1"])
    p.add_argument("--train", nargs="*", default=[])
    a = p.parse_args()
    clean = next(d for d in (a.dir / "train").iterdir() if d.name in CLEAN)
    good = sorted(clean.iterdir())[:: a.every]
    test = {d.name: sorted(d.iterdir()) for d in sorted((a.dir / "test").iterdir())}
    defective = [f for kind, files in test.items() if kind not in CLEAN for f in files]
    planted = random.Random(a.seed).sample(defective, round(a.rate / (1 - a.rate) * len(good)))
    for name, pictures in {"clean": good, "dirty": good + planted}.items():
        root = a.work / name
        link(pictures, root / "train" / "good")
        for kind, files in test.items():
            link([f for f in files if f not in planted], root / "test" / ("good" if kind in CLEAN else kind))
    print(f"{a.dir.name}: {len(good)} good pictures, {len(planted)} planted, seed {a.seed}, {' '.join(a.train)}", flush=True)
    for mode in a.modes:
        model, root = a.work / f"{mode}.blemish", a.work / ("clean" if mode.startswith("clean") else "dirty")
        screen = [] if mode in ("clean", "dirty") else ["--contamination", mode.removeprefix("clean-")]
        start = time.time()
        run(a.blemish, "train", root, "-o", model, "--calibration", "none", *screen, *["--" + t for t in a.train])
        took = time.time() - start
        figures = json.loads(run(a.blemish, "eval", model, root, "--json"))
        suspects = [s["path"] for s in json.loads(run(a.blemish, "info", model, "--json"))["provenance"].get("suspects", [])]
        names = {f"{f.parent.name}_{f.name}" for f in planted}
        hits = sum(pathlib.PurePath(s).name in names for s in suspects)
        print(f"{mode:10} image AUROC {figures['image']['auroc']:.4f}  left out {len(suspects):3}: planted {hits:3}"
              f" of {len(planted) if root.name == 'dirty' else 0}, good {len(suspects) - hits:3}  {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
