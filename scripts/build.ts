/**
 * `npm run build`: makes `dist` anew from `src`.
 *
 * | | |
 * |---|---|
 * | `dist/cjs/` | all modules but those of the command, as CommonJS |
 * | `dist/` | for each entry point an ECMAScript module that hands on what is in `dist/cjs`, and a line that names its types |
 * | `dist/types/` | the declarations that users can reach, once |
 * | `dist/cli/` | the command `nonstick`, as ECMAScript modules on top of `dist/cjs` |
 *
 * `docs/decisions/0027-one-build-and-a-door-for-each-way-in.md` says why it is so.
 */
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
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

/** What a module imports from another of ours: `from './errors.js'` and `import('./errors.js')`, as tsc writes them. */
const RELATIVE = /(?<=(?:from |import |import\()["'])(\.[^"']+)\.js(?=["'])/g

/** The modules from which a declaration hands on what they export: `export * from './errors.js'`, say. */
const HANDED_ON = /^export (?:type )?(?:\*|\{[^}]*\})(?: as \w+)? from ["'](\.[^"']+)\.js["']/gm

/**
 * Writes the declarations that the entries' own lead to as `.d.cts`, whose modules name each other with `.cjs`. What users can
 * name comes with its comments, and what only stands behind that without.
 */
const keepReachable = (commented: string, plain: string, to: string): void => {
  const modulesIn = (module: string, declarations: string, names: RegExp): readonly string[] =>
    Array.from(declarations.matchAll(names), ([, other = '']) => posix.join(posix.dirname(module), other))
  const reach = (from: string, names: RegExp): ReadonlyMap<string, string> => {
    const reached = new Map<string, string>()
    const keep = (module: string): void => {
      if (reached.has(module)) return
      const declarations = readFileSync(join(from, `${module}.d.ts`), 'utf8')
      reached.set(module, declarations)
      modulesIn(module, declarations, names).forEach(keep)
    }
    entries.forEach(keep)
    return reached
  }
  const named = reach(commented, HANDED_ON)
  for (const [module, declarations] of reach(plain, RELATIVE))
    write(join(to, `${module}.d.cts`), (named.get(module) ?? declarations).replace(RELATIVE, '$1.cjs'))
}

/** Writes the modules of the command, which take all that is not theirs from `cjs`. */
const keepCommand = (from: string): void => {
  const files = readdirSync(join(from, 'cli'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.js'),
  )
  for (const name of files) {
    const module = `cli/${name}`
    const elsewhere = (imported: string): string => {
      const path = posix.join(posix.dirname(module), imported)
      if (path.startsWith('cli/')) return `${imported}.js`
      return `${posix.relative(posix.dirname(module), posix.join('cjs', path))}.js`
    }
    const code = readFileSync(join(from, module), 'utf8')
    write(
      join(dist, module),
      code.replace(RELATIVE, (_, imported: string) => elsewhere(imported)),
    )
  }
}

/**
 * Writes the door by which `import` comes in. Each export by its name, so that every loader sees which there are. What a
 * module of CommonJS exports as its default is a part of what `import` takes for its default.
 */
const writeDoor = (entry: string): void => {
  const up = posix.relative(posix.dirname(entry), '.') || '.'
  const [code, types] = [`${up}/cjs/${entry}.js`, `${up}/types/${entry}.cjs`]
  const names = Object.keys(createRequire(import.meta.url)(join(dist, 'cjs', `${entry}.js`)) as object).sort()
  const hasDefault = names.includes('default')
  const door = [
    ...(hasDefault ? [`import all from '${code}'`, 'export default all.default'] : []),
    `export { ${names.filter((name) => name !== 'default').join(', ')} } from '${code}'`,
  ]
  write(join(dist, `${entry}.js`), door.map((line) => `${line}\n`).join(''))
  write(
    join(dist, `${entry}.d.ts`),
    `export * from '${types}'\n${hasDefault ? `declare const it: typeof import('${types}').default\nexport default it\n` : ''}`,
  )
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
  const made = mkdtempSync(join(tmpdir(), 'nonstick-build-'))
  const [modules, commented, plain] = [join(made, 'modules'), join(made, 'commented'), join(made, 'plain')]
  try {
    await Promise.all([
      tsc('-p', 'scripts/tsconfig.command.json', '--outDir', modules),
      tsc('-p', 'scripts/tsconfig.commonjs.json'),
      tsc('-p', 'tsconfig.json', '--emitDeclarationOnly', '--outDir', commented),
      tsc('-p', 'tsconfig.json', '--emitDeclarationOnly', '--removeComments', '--outDir', plain),
    ])
    keepReachable(commented, plain, join(dist, 'types'))
    keepCommand(modules)
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
  // npm makes it executable where it installs the package; this is for who runs it in a checkout.
  chmodSync(join(dist, 'cli/main.js'), 0o755)
  write(join(dist, 'cjs/package.json'), '{ "type": "commonjs" }\n')
  entries.forEach(writeDoor)
  await shorten()
}

await main()
