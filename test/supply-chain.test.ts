import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { allLocked, installedWith, type Lock, withoutDevelopment } from '../scripts/release-checks/lock.js'

const root = new URL('..', import.meta.url).pathname
const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8')

const lock = JSON.parse(read('package-lock.json')) as Lock
const manifest = JSON.parse(read('package.json')) as {
  readonly scripts: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}
const decision = read('docs/decisions/0034-supply-chain.md')

interface Row {
  readonly names: readonly string[]
  readonly cells: readonly string[]
}

/** The rows of the decision's table below a heading, with the packages that each names first. */
const named = (heading: string): readonly Row[] =>
  [...(decision.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '').matchAll(/^\| (`.*) \|$/gm)].map(
    ([, line = '']) => {
      const cells = line.split(' | ')
      return { names: [...(cells[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name), cells }
    },
  )

const namesBelow = (heading: string): readonly string[] => named(heading).flatMap(({ names }) => names)
const comesWithUs = 'nonstick'

describe('the lock', () => {
  test('has a hash for every package, or a reason why not', () => {
    const all = allLocked(lock)
    expect(all.length).toBeGreaterThan(300)
    const without = all.filter(({ entry }) => entry.integrity === undefined)
    expect(without.map(({ name }) => name).sort()).toEqual([...namesBelow('Without a hash')].sort())
    // The reason that the decision gives.
    expect(without.filter(({ entry }) => entry.optional !== true || entry.os === undefined)).toEqual([])
    for (const { entry, path } of all)
      if (entry.integrity !== undefined) expect(entry.integrity, path).toMatch(/^sha512-/)
  })

  test('names every program that runs at an installation, and with what it comes', () => {
    const running = allLocked(lock).filter(({ entry }) => entry.hasInstallScript === true)
    expect(running.map(({ name }) => name).sort()).toEqual(
      [...namesBelow('Programs that run at an installation')].sort(),
    )
    const withUs = installedWith(lock, { peers: true }).map(({ name }) => name)
    for (const { names, cells } of named('Programs that run at an installation'))
      for (const name of names)
        expect(cells[1]?.startsWith(comesWithUs), `${name} comes with nonstick`).toBe(withUs.includes(name))
  })
})

describe('the package', () => {
  test('runs no program where a user installs it, but for those that are named', () => {
    const running = installedWith(lock, { peers: true }).filter(({ entry }) => entry.hasInstallScript === true)
    const told = named('Programs that run at an installation').filter(({ cells }) => cells[1]?.startsWith(comesWithUs))
    expect(running.map(({ name }) => name)).toEqual(told.flatMap(({ names }) => names))
    // What is named needs not be there for the rest to work.
    expect(running.filter(({ entry }) => entry.optional !== true)).toEqual([])
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts[script], script).toBeUndefined()
  })

  test('comes with what the lock does not count as development alone, and with its peer', () => {
    const paths = installedWith(lock, { peers: false }).map(({ path }) => path)
    const counted = allLocked(lock).filter(({ entry }) => entry.dev !== true)
    expect([...paths].sort()).toEqual(counted.map(({ path }) => path).sort())
    const withPeers = installedWith(lock, { peers: true }).map(({ name }) => name)
    expect(withPeers).toContain('express-session')
    expect(withPeers).toContain('cookie-signature')
  })
})

describe('reading a lock', () => {
  const made: Lock = {
    packages: {
      '': { dependencies: { a: '1' }, peerDependencies: { p: '1' }, devDependencies: { d: '1' } },
      'node_modules/a': { dependencies: { b: '1' }, optionalDependencies: { o: '1', gone: '1' } },
      'node_modules/a/node_modules/b': { hasInstallScript: true, peerDependencies: { c: '1' } },
      'node_modules/b': { dev: true },
      'node_modules/c': {},
      'node_modules/@s/d': { dev: true },
      'node_modules/d': { dev: true, dependencies: { b: '2' } },
      'node_modules/o': { optional: true },
      'node_modules/p': { dev: true },
    },
  }
  const pathsOf = (found: readonly { readonly path: string }[]): readonly string[] =>
    found.map(({ path }) => path).sort()

  test('finds a package where Node would, and goes through optional ones and peers', () => {
    const own = ['node_modules/a', 'node_modules/a/node_modules/b', 'node_modules/c', 'node_modules/o']
    expect(pathsOf(installedWith(made, { peers: false }))).toEqual(own)
    expect(pathsOf(installedWith(made, { peers: true }))).toEqual([...own, 'node_modules/p'])
    expect(allLocked(made).map(({ name }) => name)).toContain('@s/d')
  })

  test('without development leaves what a user gets, and nothing else', () => {
    const left = withoutDevelopment({ name: 'x', devDependencies: { d: '1' } }, made)
    expect(left.manifest).toEqual({ name: 'x' })
    expect(left.lock.packages['']).toEqual({ dependencies: { a: '1' }, peerDependencies: { p: '1' } })
    expect(pathsOf(allLocked(left.lock))).toEqual(pathsOf(installedWith(made, { peers: false })))
  })

  test('refuses one that lacks a dependency', () => {
    expect(() => installedWith({ packages: { '': { dependencies: { a: '1' } } } }, { peers: false })).toThrow(
      'package-lock.json has no a, which the package depends on',
    )
  })
})
