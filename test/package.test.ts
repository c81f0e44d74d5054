import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importsOf, packageOf } from './support/source-text.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly name: string
  readonly version: string
  readonly files: readonly string[]
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
  readonly dependencies: Readonly<Record<string, string>>
}
const modules = Object.entries(manifest.exports).filter(([, target]) => typeof target !== 'string')
const specifiers = modules.map(([subpath]) => subpath.replace(/^\./, manifest.name))

/** Which libraries that speak to the world a subpath may load. The rest of the subpaths load none. */
const CLIENTS = ['memjs', 'pg', 'nano', 'undici', 'express', 'express-session']
const LOADS: Readonly<Record<string, readonly string[]>> = {
  'nonstick/memcached': ['memjs'],
  'nonstick/postgres': ['pg'],
  'nonstick/couchdb': ['nano', 'undici'],
  'nonstick/express': ['express-session'],
}

/** Foreign types that a part's own types may mention, because what it makes must be one of theirs. */
const mayMention = (path: string): readonly string[] => (path.startsWith('adapters/express') ? ['express-session'] : [])

/** Made by npm, as it would be for the registry: `package/` inside is what users get. */
let folder: string
let tarball: string
let unpacked: string

/** The words a failed command printed, rather than only that it failed. */
const run = async (
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

const tool = (path: string): string => join(root, 'node_modules', path)
const compile = (project: string, cwd: string): Promise<string> =>
  run(process.execPath, [tool('typescript/bin/tsc'), '-p', project], cwd)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nonstick-package-'))
  const stage = join(folder, 'stage')
  mkdirSync(stage)
  // Built aside, so that a `dist` which somebody is using stays as it is.
  for (const name of ['package.json', 'tsconfig.json', 'src', ...manifest.files].filter((entry) => entry !== 'dist'))
    if (existsSync(join(root, name))) cpSync(join(root, name), join(stage, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(stage, 'node_modules'))
  await compile('tsconfig.json', stage)
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], stage)
  tarball = join(folder, `${manifest.name}-${manifest.version}.tgz`)
  await run('tar', ['-xzf', tarball, '-C', folder], folder)
  unpacked = join(folder, 'package')
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const filesIn = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))

describe('the packed package', () => {
  test('holds what it promises to hold, and no sources, tests or tools', () => {
    const files = filesIn(unpacked)
    expect(manifest.files.filter((name) => !existsSync(join(unpacked, name)))).toEqual([])
    expect(
      files.filter((name) => /^(src|test|scripts|\.)|\.tgz$|(?<!\.d)\.ts$/.test(name) && !name.startsWith('docs/')),
    ).toEqual([])
  })

  test('has a file behind every export, and behind its types', () => {
    const targets = modules.flatMap(([, target]) => Object.values(target as object) as string[])
    expect(targets.filter((path) => !existsSync(join(unpacked, path)))).toEqual([])
  })

  test('gives publint nothing to complain about', async () => {
    const bytes = readFileSync(tarball)
    const { messages, pkg } = await publint({
      pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer },
    })
    expect(messages.filter(({ type }) => type !== 'suggestion').map((message) => formatMessage(message, pkg))).toEqual(
      [],
    )
  })

  test('has types that resolve as its code does, in every way of resolving that loads modules', async () => {
    const report = await run(
      process.execPath,
      [
        tool('@arethetypeswrong/cli/dist/index.js'),
        tarball,
        '--profile',
        'esm-only',
        '--format',
        'ascii',
        '--no-color',
      ],
      folder,
    )
    // It ends with an error if something is wrong; this is to know that it looked at all of them.
    for (const specifier of specifiers) expect(report).toContain(`"${specifier}"`)
  }, 60_000)

  test('mentions in its types nothing that its users need not have', () => {
    const complaints = filesIn(join(unpacked, 'dist'))
      .filter((name) => name.endsWith('.d.ts'))
      .flatMap((name) =>
        importsOf(readFileSync(join(unpacked, 'dist', name), 'utf8'))
          .filter((specifier) => packageOf(specifier) !== undefined)
          .filter((specifier) => !mayMention(name).includes(specifier))
          .map((specifier) => `${name} mentions ${specifier}`),
      )
    expect(complaints).toEqual([])
  })
})

describe('a program that uses the package', () => {
  let consumer: string

  beforeAll(async () => {
    consumer = join(folder, 'consumer')
    cpSync(join(root, 'test/consumer'), consumer, { recursive: true })
    const installed = join(consumer, 'node_modules')
    mkdirSync(join(installed, '@types'), { recursive: true })
    cpSync(unpacked, join(installed, manifest.name), { recursive: true })
    // What npm would install: the package's dependencies, and the peers and types a user of all subpaths has.
    for (const name of [...Object.keys(manifest.dependencies), 'express', 'express-session'])
      symlinkSync(tool(name), join(installed, name))
    for (const name of ['node', 'express', 'express-session'])
      symlinkSync(tool(`@types/${name}`), join(installed, '@types', name))
    const imports = specifiers.map((specifier, at) => `import * as part${at} from '${specifier}'`)
    const requires = specifiers.map((specifier, at) => `import part${at} = require('${specifier}')`)
    const uses = specifiers.map(
      (specifier, at) => `if (Object.keys(part${at}).length === 0) throw new Error('${specifier} is empty')`,
    )
    writeFileSync(join(consumer, 'every-subpath.mts'), [...imports, ...uses, ''].join('\n'))
    writeFileSync(join(consumer, 'every-subpath-required.cts'), [...requires, ...uses, ''].join('\n'))
    await compile('tsconfig.nodenext.json', consumer)
  }, 120_000)

  test('finds its types with a bundler’s way of resolving', async () => {
    await compile('tsconfig.bundler.json', consumer)
  }, 60_000)

  test('sees wrong use as an error of types', async () => {
    const wrong = join(consumer, 'wrong')
    mkdirSync(wrong)
    writeFileSync(
      join(wrong, 'wrong.mts'),
      "import { createSessionStore } from 'nonstick'\ncreateSessionStore({ maxStaleCount: 'ten' })\n",
    )
    writeFileSync(
      join(wrong, 'tsconfig.json'),
      JSON.stringify({ extends: '../tsconfig.nodenext.json', compilerOptions: { noEmit: true }, include: ['*.mts'] }),
    )
    await expect(compile('tsconfig.json', wrong)).rejects.toThrow(/maxStaleCount|string/)
  }, 60_000)

  test.each([
    ['as ECMAScript modules', 'esm.mjs', 'esm ok'],
    ['from CommonJS, by require', 'commonjs.cjs', 'commonjs ok'],
    ['as ECMAScript modules, every subpath of it', 'every-subpath.mjs', ''],
    ['from CommonJS, every subpath of it', 'every-subpath-required.cjs', ''],
  ])('runs it %s', async (_how, file, words) => {
    const printed = await run(process.execPath, [join('out', file)], consumer)
    expect(printed.split('\n')).toContain(words)
  })

  test.each(specifiers)('loads by importing %s no other part’s client', async (specifier) => {
    const trace = join(folder, `trace-${specifier.replaceAll('/', '-')}`)
    writeFileSync(trace, '')
    const program = `await import('${specifier}')`
    await run(process.execPath, ['--import', './trace.mjs', '--input-type=module', '-e', program], consumer, {
      TRACE_FILE: trace,
      NODE_NO_WARNINGS: '1',
    })
    const loaded = readFileSync(trace, 'utf8').split('\n')
    // Without this, a trace that sees nothing would find nothing.
    expect(loaded.some((url) => url.includes(`node_modules/${manifest.name}/`))).toBe(true)
    const clients = CLIENTS.filter((client) => loaded.some((url) => url.includes(`/node_modules/${client}/`)))
    const may = LOADS[specifier] ?? []
    expect(clients.filter((client) => !may.includes(client))).toEqual([])
  })
})
