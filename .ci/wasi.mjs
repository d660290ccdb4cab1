// Runs a WebAssembly program as cargo's runner: `node .ci/wasi.mjs PROGRAM [ARGUMENT...]`, with the files of the working directory
// and of the system's folder for temporary ones.
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { WASI } from 'node:wasi';

const folders = [process.cwd(), tmpdir()];
const wasi = new WASI({
  version: 'preview1',
  args: process.argv.slice(2),
  env: process.env,
  preopens: Object.fromEntries(folders.map((folder) => [folder, folder])),
});
const program = await WebAssembly.compile(await readFile(process.argv[2]));
process.exitCode = wasi.start(await WebAssembly.instantiate(program, wasi.getImportObject()));
