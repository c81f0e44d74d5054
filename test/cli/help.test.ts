import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { program } from '../../src/cli/program.js'
import { cleanEnvironment } from '../backends/postgres/reload-support.js'
import { COMMAND, nonstick } from './command.js'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

const commands = program().commands.filter((command) => command.name() !== 'help')
const page = read('docs/cli.md')

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nonstick-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('is an executable file that begins by naming node, as package.json says', () => {
  const { bin } = JSON.parse(read('package.json')) as { readonly bin: Readonly<Record<string, string>> }
  expect(COMMAND.endsWith(bin['nonstick'] ?? 'none')).toBe(true)
  expect(readFileSync(COMMAND, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
  expect(statSync(COMMAND).mode & 0o111).not.toBe(0)
})

test('nonstick --help names every command with a line of what it does, and the exit codes', async () => {
  const said = await nonstick(['--help'])
  expect(said).toMatchObject({ code: 0, stderr: '' })
  for (const command of commands) {
    expect(command.summary(), command.name()).toMatch(/^[a-z].{10,}[^.]$/)
    expect(said.stdout).toMatch(new RegExp(`^  ${command.name()} `, 'm'))
    expect(page).toContain(`| \`${command.name()}\` |`)
  }
  expect(said.stdout).toContain('NONSTICK_CACHE')
  expect(Math.max(...said.stdout.split('\n').map((line) => line.length))).toBeLessThan(121)
})

test.each(commands.map((command) => command.name()))('nonstick %s --help shows its options', async (name) => {
  const said = await nonstick([name, '--help'])
  expect(said).toMatchObject({ code: 0, stderr: '' })
  const command = commands.find((each) => each.name() === name)
  for (const { long, hidden } of command?.options ?? []) if (!hidden) expect(said.stdout).toContain(String(long))
})

test('every command but setup and completion can say where the sessions are, and in JSON', () => {
  for (const command of commands) {
    const flags = command.options.map(({ long }) => long)
    if (command.name() !== 'completion') expect(flags, command.name()).toContain('--json')
    if (!['completion', 'setup'].includes(command.name()))
      expect(flags, command.name()).toEqual(expect.arrayContaining(['--cache', '--backend', '--namespace', '--config']))
  }
})

describe('wrong use ends with 2, says so on standard error, and does nothing', () => {
  test.each([
    [[], 'Usage'],
    [['--bogus'], '--bogus'],
    [['postgres://ann:hunter2@db/app'], 'no such command'],
    [['doctor', '--bogus=hunter2'], '--bogus'],
    [['doctor', 'hunter2'], 'belongs to no option'],
    [['doctor', '--backend'], '--backend'],
    [['doctor', '--cache', 'redis://:hunter2@cache'], '--cache'],
    [['doctor', '--cache', 'cache1', '--backend', 'mysql://ann:hunter2@db'], '--backend'],
    [['doctor', '--cache', 'cache1'], 'DATABASE_URL'],
    [['doctor', '--config', '/nowhere/hunter2.js'], '--config'],
    [['completion', 'hunter2sh'], 'bash'],
  ])('%j', async (args, named) => {
    const said = await nonstick(args)
    expect(said).toMatchObject({ code: 2, stdout: '' })
    expect(said.stderr).toContain(named)
    expect(said.stderr.replace("'hunter2sh'", '')).not.toContain('hunter2')
  })

  test.each([
    [['inspect', '--json', '--bogus'], 'inspect'],
    [['import', '--json'], 'import'],
    [['purge-source', '--json'], 'purge-source'],
  ])('%j says it in a line of JSON as well', async (args, name) => {
    const said = await nonstick(args)
    expect(said.code).toBe(2)
    const { error } = JSON.parse(said.stdout) as { readonly error: Readonly<Record<string, string>> }
    expect(error['code']).toBe('usage')
    expect(said.stderr).toBe(`nonstick ${name}: ${error['message']}\n`)
  })

  test('an unknown variable', async () => {
    const said = await nonstick(['stats'], { env: { NONSTICK_CACHE: 'memory', NONSTICK_BACKENT: 'hunter2' } })
    expect(said).toMatchObject({ code: 2, stdout: '' })
    expect(said.stderr).toContain('did you mean `NONSTICK_BACKEND`')
    expect(said.stderr).not.toContain('hunter2')
  })
})

test('warns of a password in a flag, which everybody on the machine can read', async () => {
  const said = await nonstick([
    'stats',
    '--cache',
    'memory',
    '--backend',
    'postgres://ann:hunter2@127.0.0.1:1/app',
    '--json',
  ])
  expect(said.stderr).toContain('NONSTICK_BACKEND cannot')
  expect(said.stdout + said.stderr).not.toContain('hunter2')
})

describe('standard output that takes nothing', () => {
  const inShell = (line: string) =>
    spawnSync('bash', ['-c', line, 'bash', process.execPath, COMMAND], { encoding: 'utf8', env: cleanEnvironment() })
  const DOCTOR = '"$1" "$2" doctor --cache memory --backend postgres://127.0.0.1:1/app'

  test('as its disk is full ends with 1 and a sentence', () => {
    for (const [args, name] of [
      ['--help', ''],
      ['completion bash', ' completion'],
      ['stats --json --cache memory --backend memory', ' stats'],
    ]) {
      const { status, stderr } = inShell(`NODE_ENV=development "$1" "$2" ${args} > /dev/full`)
      expect(stderr).toBe(`nonstick${name}: the result could not be written to standard output: ENOSPC\n`)
      expect(status).toBe(1)
    }
  })

  test('as its reader has gone changes nothing of what was found', () => {
    const faults = inShell(`${DOCTOR} | true; exit $PIPESTATUS`)
    expect(faults).toMatchObject({ status: 1, stderr: '' })
    const nothing = inShell('"$1" "$2" completion bash | true; exit $PIPESTATUS')
    expect(nothing).toMatchObject({ status: 0, stderr: '' })
  })
})

describe('a config module', () => {
  const module = (text: string): string => {
    const file = join(folder, `config-${Math.abs(text.length * 31 + text.charCodeAt(7))}.mjs`)
    writeFileSync(file, text)
    return file
  }
  const MEMORY = `import { memoryBackend, memoryCache } from '${new URL('../../dist/memory.js', import.meta.url).href}'
const options = { cache: memoryCache(), backend: memoryBackend(), namespace: 'of-the-module' }\n`

  test.each([
    ['an object', 'export default options'],
    ['a function', 'export default () => options'],
    ['a promise', 'export default async () => options'],
  ])('gives %s', async (_what, text) => {
    const said = await nonstick(['stats', '--json', '--config', module(MEMORY + text)])
    expect(said).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(said.stdout)).toMatchObject({ namespace: 'of-the-module', sessions: 0 })
  })

  test('counts less than the environment, and that less than flags', async () => {
    const env = { NONSTICK_CONFIG: module(`${MEMORY}export default options`), NONSTICK_NAMESPACE: 'of-the-environment' }
    expect(JSON.parse((await nonstick(['stats', '--json'], { env })).stdout)).toMatchObject({
      namespace: 'of-the-environment',
    })
    const flags = ['stats', '--json', '--namespace', 'of-the-flag']
    expect(JSON.parse((await nonstick(flags, { env })).stdout)).toMatchObject({ namespace: 'of-the-flag' })
  })

  test('that throws is told without what it said', async () => {
    const said = await nonstick(['stats', '--config', module("throw new Error('hunter2 is wrong')")])
    expect(said).toMatchObject({ code: 2, stdout: '' })
    expect(said.stderr).not.toContain('hunter2')
  })
})

describe('nonstick completion', () => {
  test.each(['bash', 'zsh', 'fish'])('%s names every command and its options', async (shell) => {
    const said = await nonstick(['completion', shell])
    expect(said).toMatchObject({ code: 0, stderr: '' })
    for (const command of commands) {
      expect(said.stdout).toContain(command.name())
      for (const { long, hidden } of command.options) if (!hidden) expect(said.stdout).toContain(String(long).slice(2))
    }
  })

  test('bash completes a command and an option', async () => {
    const { stdout } = await nonstick(['completion', 'bash'])
    const completed = (...words: string[]): string[] => {
      const script = `${stdout}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}\n_nonstick\nprintf '%s\\n' "\${COMPREPLY[@]}"`
      return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split('\n')
    }
    expect(completed('nonstick', 'doc')).toEqual(['doctor'])
    expect(completed('nonstick', 'purge', '--d')).toEqual(['--dry-run'])
    expect(completed('nonstick', 'completion', 'f')).toEqual(['fish'])
  })
})
