/**
 * The package as npm would publish it, what is wrong with it, and projects that use it: for `test/package.test.ts`,
 * `scripts/matrix` and `scripts/release`.
 */
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What one way of loading an entry point gets. */
export interface Target {
  readonly types: string
  readonly default: string
}

/** `package.json`, as far as it is about what users get. */
export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly name: string
  readonly version: string
  readonly files: readonly string[]
  readonly main: string
  readonly types: string
  readonly exports: Readonly<Record<string, string | { readonly import: Target; readonly require: Target }>>
  readonly typesVersions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
  readonly dependencies: Readonly<Record<string, string>>
}

/** The entry points that are modules, with what stands behind them. */
export const entryPoints = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
  typeof target === 'string' ? [] : [{ subpath, specifier: subpath.replace(/^\./, manifest.name), target }],
)

/** Runs a command to its end. Rejects with the words it printed, rather than only with its exit code. */
export const run = async (
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<string> => {
  try {
    return (await promisify(execFile)(command, args, { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 24 }))
      .stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    throw new Error(`${[command, ...args].join(' ')} failed:\n${stdout ?? ''}${stderr ?? ''}`, { cause: error })
  }
}

/** A file of an installed package: `tool('typescript/bin/tsc')`. */
export const tool = (path: string): string => join(root, 'node_modules', path)

/** Packs the package into `folder`, as `npm publish` would, and gives the path of the tarball. */
export const packPackage = async (folder: string): Promise<string> => {
  // Built aside, so that a `dist` which somebody is using stays as it is.
  const stage = join(folder, 'stage')
  mkdirSync(stage)
  const sources = ['package.json', 'tsconfig.json', 'src', 'scripts', ...manifest.files]
  for (const name of sources.filter((entry) => entry !== 'dist'))
    if (existsSync(join(root, name))) cpSync(join(root, name), join(stage, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(stage, 'node_modules'))
  // As `npm run build` does, which would be npm's own start-up slower.
  await run(process.execPath, ['--import', 'tsx', 'scripts/build.ts'], stage, { TSX_DISABLE_CACHE: '1' })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], stage)
  return join(folder, `${manifest.name}-${manifest.version}.tgz`)
}

/** The paths of all files in a folder, from there on. */
export const filesIn = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))

/** Packed, the package is smaller than this many bytes. */
export const LARGEST_TARBALL = 460_000

/** What an unpacked package lacks of what `files` in `package.json` promises, or has although it was to be left out. */
export const brokenPromises = (unpacked: string): readonly string[] => {
  const isAsPromised = (name: string): boolean =>
    name.startsWith('!') ? !existsSync(join(unpacked, name.slice(1))) : existsSync(join(unpacked, name))
  return manifest.files.filter((name) => !isAsPromised(name))
}

/** The sources, source maps, tests and tools in an unpacked package: it has none. */
export const unwantedFiles = (unpacked: string): readonly string[] =>
  filesIn(unpacked).filter(
    (name) => /^(src|test|scripts|\.)|\.tgz$|\.map$|(?<!\.d)\.[cm]?ts$/.test(name) && !name.startsWith('docs/'),
  )

/** The size of a tarball in bytes. */
export const sizeOf = (tarball: string): number => statSync(tarball).size

/** What publint has to say against a tarball. */
export const publintComplaints = async (tarball: string): Promise<readonly string[]> => {
  const bytes = readFileSync(tarball)
  const { messages, pkg } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer },
    strict: true,
  })
  return messages.map((message) => formatMessage(message, pkg) ?? message.code)
}

/** How TypeScript finds the types of an entry point, and what is wrong with that. */
export interface TypesReport {
  readonly analysis: {
    readonly entrypoints: Readonly<
      Record<
        string,
        { readonly resolutions: Readonly<Record<string, { readonly resolution?: { readonly fileName: string } }>> }
      >
    >
  }
  readonly problems?: Readonly<Record<string, unknown>>
}

/** What attw says of a tarball, run in `cwd`. Rejects where it finds something wrong. */
export const typesReport = async (tarball: string, cwd: string): Promise<TypesReport> =>
  JSON.parse(
    await run(
      process.execPath,
      [tool('@arethetypeswrong/cli/dist/index.js'), tarball, '--profile', 'strict', '--format', 'json'],
      cwd,
    ),
  ) as TypesReport

/** TypeScript's ways of finding a package, with the kinds of program in `test/consumer` that each is for. */
export const RESOLUTIONS = {
  node10: { module: 'commonjs', include: ['*.ts'] },
  node16: { module: 'node16', include: ['*.ts', '*.mts', '*.cts'] },
  nodenext: { module: 'nodenext', include: ['*.ts', '*.mts', '*.cts'] },
  bundler: { module: 'esnext', include: ['*.ts', '*.mts'] },
} as const
export type Resolution = keyof typeof RESOLUTIONS

/** Puts the programs of `test/consumer` into `folder`, and those that use every entry point. */
export const writeConsumer = (folder: string): void => {
  cpSync(join(root, 'test/consumer'), folder, { recursive: true })
  const imports = entryPoints.map(({ specifier }, at) => `import * as part${at} from '${specifier}'`)
  const requires = entryPoints.map(({ specifier }, at) => `import part${at} = require('${specifier}')`)
  const uses = entryPoints.map(
    ({ specifier }, at) => `if (Object.keys(part${at}).length === 0) throw new Error('${specifier} is empty')`,
  )
  const write = (name: string, lines: readonly string[]): void =>
    writeFileSync(join(folder, name), `${[...lines, ...uses].join('\n')}\n`)
  write('every-subpath.mts', imports)
  write('every-subpath.ts', imports)
  write('every-subpath-required.cts', requires)
}

/**
 * Writes `tsconfig.<resolution>.json` into a consumer's folder, and gives its name. Its programs come out in
 * `out/<resolution>`. Whatever a resolution or a version of TypeScript has as its default stays as it is, above all
 * `esModuleInterop`; our declarations are checked (`skipLibCheck` is off), and so are everybody else's.
 */
export const writeProject = (
  folder: string,
  resolution: Resolution,
  compilerOptions: Readonly<Record<string, unknown>> = {},
): string => {
  const { module, include } = RESOLUTIONS[resolution]
  const name = `tsconfig.${resolution}.json`
  const options = {
    target: 'es2022',
    lib: ['es2022'],
    module,
    moduleResolution: resolution,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    rootDir: '.',
    outDir: `out/${resolution}`,
    ...compilerOptions,
  }
  writeFileSync(join(folder, name), JSON.stringify({ compilerOptions: options, include }, null, 2))
  return name
}
