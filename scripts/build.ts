/**
 * `npm run build`: makes `dist` anew from `src`.
 *
 * | | |
 * |---|---|
 * | `dist/` | the ECMAScript modules, and for each entry point a line that names its types |
 * | `dist/cjs/` | the same modules as CommonJS |
 * | `dist/types/` | the declarations that users of either can reach, once |
 * | `dist/cli/` | the command `nonstick`, as ECMAScript modules alone |
 *
 * `docs/decisions/0027-two-builds-and-one-set-of-types.md` says why it is so.
 */
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')

interface EntryPoint {
  readonly import: { readonly types: string; readonly default: string }
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, EntryPoint | string>>
}

/** The modules behind `exports`, without their ending, from `dist` on: `index`, `adapters/express`. */
const entries = Object.values(manifest.exports)
  .filter((target) => typeof target !== 'string')
  .map((target) => target.import.default.replace(/^\.\/dist\/(.*)\.js$/, '$1'))

const tsc = async (...args: readonly string[]): Promise<void> => {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  try {
    await promisify(execFile)(process.execPath, [compiler, ...args], { cwd: root })
  } catch (error) {
    throw new Error(`tsc ${args.join(' ')} failed:\n${(error as { stdout?: string }).stdout ?? ''}`, { cause: error })
  }
}

/** What a declaration imports from another: `from './errors.js'` and `import('./errors.js')`, as tsc writes them. */
const RELATIVE = /(?<=(?:from |import\()["'])(\.[^"']+)\.js(?=["'])/g

/** Writes the declarations that the entries' own lead to as `.d.cts`, whose modules name each other with `.cjs`. */
const keepReachable = (from: string, to: string): void => {
  const kept = new Set<string>()
  const keep = (module: string): void => {
    if (kept.has(module)) return
    kept.add(module)
    const declarations = readFileSync(join(from, `${module}.d.ts`), 'utf8')
    write(join(to, `${module}.d.cts`), declarations.replace(RELATIVE, '$1.cjs'))
    for (const [, other = ''] of declarations.matchAll(RELATIVE)) keep(posix.join(posix.dirname(module), other))
  }
  for (const entry of entries) keep(entry)
}

/** Indents by tabs, in longer lines: packed, that is three in a hundred less, and a stack still reads like the source. */
const shorten = async (): Promise<void> => {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  const args = ['format', '--write', '--config-path=scripts/dist.json', 'dist']
  await promisify(execFile)(process.execPath, [biome, ...args], { cwd: root })
}

const write = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

const main = async (): Promise<void> => {
  // A file that was renamed would otherwise stay in the package for ever.
  rmSync(dist, { recursive: true, force: true })
  const declarations = mkdtempSync(join(tmpdir(), 'nonstick-declarations-'))
  try {
    await Promise.all([
      tsc('-p', 'scripts/tsconfig.esm.json'),
      tsc('-p', 'scripts/tsconfig.commonjs.json'),
      tsc('-p', 'tsconfig.json', '--emitDeclarationOnly', '--outDir', declarations),
    ])
    keepReachable(declarations, join(dist, 'types'))
  } finally {
    rmSync(declarations, { recursive: true, force: true })
  }
  // npm makes it executable where it installs the package; this is for who runs it in a checkout.
  chmodSync(join(dist, 'cli/main.js'), 0o755)
  write(join(dist, 'cjs/package.json'), '{ "type": "commonjs" }\n')
  for (const entry of entries) {
    const up = posix.relative(posix.dirname(entry), '.') || '.'
    write(join(dist, `${entry}.d.ts`), `export * from '${up}/types/${entry}.cjs'\n`)
  }
  await shorten()
}

await main()
