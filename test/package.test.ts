import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  brokenPromises,
  entryPoints,
  filesIn,
  LARGEST_TARBALL,
  manifest,
  packPackage,
  publintComplaints,
  type Resolution,
  run,
  sizeOf,
  tool,
  typesReport,
  unwantedFiles,
  writeConsumer,
  writeProject,
} from './support/packed-package.js'
import { importsOf, packageOf } from './support/source-text.js'

const specifiers = entryPoints.map(({ specifier }) => specifier)

/** Compilers are slow on a machine that has much else to do. Whatever takes longer than this hangs. */
const HANGING_MS = 300_000

/** Which libraries that speak to the world a subpath may load. The rest of the subpaths load none. */
const CLIENTS = ['memjs', 'pg', 'nano', 'undici', 'redis', '@redis/client', 'express', 'express-session']
const LOADS: Readonly<Record<string, readonly string[]>> = {
  'nonstick/memcached': ['memjs'],
  'nonstick/postgres': ['pg'],
  'nonstick/couchdb': ['nano', 'undici'],
  'nonstick/express': ['express-session'],
}

/** Foreign types that a part's own types may mention, because what it makes must be one of theirs. */
const mayMention = (path: string): readonly string[] =>
  path.startsWith('types/adapters/express') ? ['express-session'] : []

/** Made by npm, as it would be for the registry: `package/` inside is what users get. */
let folder: string
let tarball: string
let unpacked: string

/** The project's own TypeScript, and the older one that attw brings along; `scripts/matrix` has the oldest. */
const fromAttw = createRequire(createRequire(import.meta.url).resolve('@arethetypeswrong/cli/package.json'))
const OLDER = createRequire(fromAttw.resolve('@arethetypeswrong/core')).resolve('typescript/package.json')
const COMPILERS = { newest: tool('typescript'), older: OLDER.replace(/[\\/]package\.json$/, '') } as const
const versionOf = (compiler: keyof typeof COMPILERS): string =>
  (JSON.parse(readFileSync(join(COMPILERS[compiler], 'package.json'), 'utf8')) as { version: string }).version
const compile = (project: string, cwd: string, compiler: keyof typeof COMPILERS = 'newest'): Promise<string> =>
  run(process.execPath, [join(COMPILERS[compiler], 'bin/tsc'), '-p', project], cwd)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nonstick-package-'))
  tarball = await packPackage(folder)
  await run('tar', ['-xzf', tarball, '-C', folder], folder)
  unpacked = join(folder, 'package')
}, HANGING_MS)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the packed package', () => {
  test('holds what it promises to hold, and no sources, source maps, tests or tools', () => {
    expect(brokenPromises(unpacked)).toEqual([])
    expect(unwantedFiles(unpacked)).toEqual([])
  })

  test(`is smaller than ${LARGEST_TARBALL / 1000} kB`, () => {
    expect(sizeOf(tarball)).toBeLessThan(LARGEST_TARBALL)
  })

  test('has a file behind every entry point, for each way in and for what knows no "exports"', () => {
    const targets = [
      manifest.main,
      manifest.types,
      ...entryPoints.flatMap(({ target }) => [...Object.values(target.import), ...Object.values(target.require)]),
      ...Object.values(manifest.typesVersions['*'] ?? {}).flat(),
    ]
    expect(targets.filter((path) => !existsSync(join(unpacked, path)))).toEqual([])
  })

  test('tells TypeScript without "exports" the same types of every entry point as by requiring it', () => {
    const [whole, ...parts] = entryPoints
    expect(manifest.types).toBe(whole?.target.require.types)
    expect(manifest.main).toBe(whole?.target.require.default)
    expect(manifest.typesVersions).toEqual({
      '*': Object.fromEntries(parts.map(({ subpath, target }) => [subpath.slice(2), [target.require.types]])),
    })
  })

  test('gives publint nothing to complain about', async () => {
    expect(await publintComplaints(tarball)).toEqual([])
  })

  test(
    'has types that resolve as its code does, in every way of resolving',
    async () => {
      const { analysis, problems } = await typesReport(tarball, folder)
      expect(problems ?? {}).toEqual({})
      // This is to know that it looked at all of them.
      for (const { subpath, target } of entryPoints) {
        const resolutions = analysis.entrypoints[subpath]?.resolutions ?? {}
        const found = Object.entries(resolutions).map(([way, { resolution }]) => [way, resolution?.fileName])
        const inPackage = (path: string): string => `/node_modules/${manifest.name}/${path.slice(2)}`
        expect(Object.fromEntries(found)).toEqual({
          node10: inPackage(target.require.types),
          'node16-cjs': inPackage(target.require.types),
          'node16-esm': inPackage(target.import.types),
          bundler: inPackage(target.import.types),
        })
      }
    },
    HANGING_MS,
  )

  test('mentions in its types nothing that its users need not have', () => {
    const complaints = filesIn(join(unpacked, 'dist'))
      .filter((name) => /\.d\.c?ts$/.test(name))
      .flatMap((name) =>
        importsOf(readFileSync(join(unpacked, 'dist', name), 'utf8'))
          .filter((specifier) => packageOf(specifier) !== undefined)
          .filter((specifier) => !mayMention(name).includes(specifier))
          .map((specifier) => `${name} mentions ${specifier}`),
      )
    expect(complaints).toEqual([])
  })
})

/** For the versions of Node that can require ECMAScript modules unless they are told otherwise. */
const WITHOUT_REQUIRE_OF_ESM = process.allowedNodeEnvironmentFlags.has('--experimental-require-module')
  ? ['--no-experimental-require-module']
  : []

describe('a program that uses the package', () => {
  let consumer: string

  beforeAll(async () => {
    consumer = join(folder, 'consumer')
    writeConsumer(consumer)
    const installed = join(consumer, 'node_modules')
    mkdirSync(join(installed, '@types'), { recursive: true })
    cpSync(unpacked, join(installed, manifest.name), { recursive: true })
    // What npm would install: the package's dependencies, and the peers and types a user of all subpaths has.
    for (const name of [...Object.keys(manifest.dependencies), 'express', 'express-session'])
      symlinkSync(tool(name), join(installed, name))
    for (const name of ['node', 'express', 'express-session'])
      symlinkSync(tool(`@types/${name}`), join(installed, '@types', name))
    await compile(writeProject(consumer, 'nodenext'), consumer)
  }, HANGING_MS)

  const compiled = (compiler: keyof typeof COMPILERS, resolutions: readonly Resolution[]): void => {
    test.each(resolutions)(
      `finds its types with TypeScript ${versionOf(compiler)} and moduleResolution %s`,
      async (way) => {
        await compile(writeProject(consumer, way, { outDir: `out/${compiler}/${way}` }), consumer, compiler)
      },
      HANGING_MS,
    )
  }
  compiled('newest', ['bundler'])
  compiled('older', ['node10', 'node16'])

  test('is tried with a TypeScript that still has node10', () => {
    expect(Number(versionOf('older').split('.')[0])).toBe(5)
  })

  test(
    'sees wrong use as an error of types',
    async () => {
      const wrong = join(consumer, 'wrong')
      mkdirSync(wrong)
      writeFileSync(
        join(wrong, 'wrong.mts'),
        "import { createSessionStore } from 'nonstick'\ncreateSessionStore({ maxStaleCount: 'ten' })\n",
      )
      writeFileSync(
        join(wrong, 'tsconfig.json'),
        JSON.stringify({
          extends: '../tsconfig.nodenext.json',
          compilerOptions: { noEmit: true, rootDir: '..' },
          include: ['*.mts'],
        }),
      )
      await expect(compile('tsconfig.json', wrong)).rejects.toThrow(/maxStaleCount|string/)
    },
    HANGING_MS,
  )

  test.each([
    ['as ECMAScript modules', 'out/nodenext/esm.mjs', 'esm ok'],
    ['from CommonJS, by require', 'out/nodenext/commonjs.cjs', 'commonjs ok'],
    ['from CommonJS, written with import', 'out/nodenext/either.js', 'either ok'],
    ['as ECMAScript modules, every subpath of it', 'out/nodenext/every-subpath.mjs', ''],
    ['from CommonJS, every subpath of it', 'out/nodenext/every-subpath-required.cjs', ''],
    ['with both in one process, which have the same', 'both-ways.mjs', 'both ways ok'],
    ['in another realm, as Jest does', 'other-realm.cjs', 'other realm ok'],
    // `scripts/test --runtimes` does so on other runtimes, and on real servers.
    ['with its contract suites', 'runners/suite.mjs', expect.stringMatching(/^suite ok: \d{3} rules$/)],
  ])('runs it %s', async (_how, file, words) => {
    // Node 20.19 can require ECMAScript modules, but Jest and other loaders cannot: whoever requires gets CommonJS.
    const printed = await run(process.execPath, [...WITHOUT_REQUIRE_OF_ESM, file], consumer)
    expect(printed.split('\n')).toContainEqual(words)
  })

  test('says what to install where the package of an optional client is not there', async () => {
    const program = [
      "import { redis } from 'nonstick/redis'",
      "const key = 'x:' + 'A'.repeat(43)",
      "await redis({ url: 'redis://127.0.0.1:1' }).read({ key }).catch(({ code, message }) => console.log(code, message))",
    ].join('\n')
    const printed = await run(process.execPath, ['--input-type=module', '-e', program], consumer)
    expect(printed).toMatch(/^E_CONFIG .*npm install redis/)
  })

  /** The clients that are among the loaded files though the subpath may not load them. */
  const foreignClients = (specifier: string, loaded: readonly string[]): string[] => {
    // Without this, a trace that sees nothing would find nothing.
    expect(loaded.some((path) => path.includes(`node_modules/${manifest.name}/`))).toBe(true)
    const may = LOADS[specifier] ?? []
    return CLIENTS.filter(
      (client) => loaded.some((path) => path.includes(`/node_modules/${client}/`)) && !may.includes(client),
    )
  }

  test.each(specifiers)('loads by importing %s no other part’s client', async (specifier) => {
    const trace = join(folder, `trace-${specifier.replaceAll('/', '-')}`)
    writeFileSync(trace, '')
    const program = `await import('${specifier}')`
    await run(process.execPath, ['--import', './trace.mjs', '--input-type=module', '-e', program], consumer, {
      TRACE_FILE: trace,
      NODE_NO_WARNINGS: '1',
    })
    const loaded = readFileSync(trace, 'utf8').split('\n')
    expect(foreignClients(specifier, loaded)).toEqual([])
  })

  test('loads by requiring a subpath no other part’s client', async () => {
    const printed = await run(process.execPath, ['trace-required.cjs', ...specifiers], consumer)
    const loaded = JSON.parse(printed) as Readonly<Record<string, readonly string[]>>
    expect(Object.keys(loaded)).toEqual(specifiers)
    expect(specifiers.flatMap((specifier) => foreignClients(specifier, loaded[specifier] ?? []))).toEqual([])
  })
})
