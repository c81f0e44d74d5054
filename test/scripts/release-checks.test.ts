import { describe, expect, test } from 'vitest'
import { auditVerdict } from '../../scripts/release-checks/audit.js'
import { type Bill, complaintsAboutBill } from '../../scripts/release-checks/bill.js'
import { changelogVerdict } from '../../scripts/release-checks/changelog.js'
import { isAllowed, licencesVerdict } from '../../scripts/release-checks/licences.js'
import type { Locked } from '../../scripts/release-checks/lock.js'
import { some } from '../../scripts/release-checks/verdict.js'
import { publishedVerdict, versionVerdict } from '../../scripts/release-checks/version.js'

describe('the changelog of a version that is to be published', () => {
  test.each([
    '# Changelog\n\n## 1.2.3\n\n- It works.\n',
    '# Changelog\n\n## 1.2.3 (2027-01-31)\n\n- It works.\n\n## 1.2.2\n',
  ])('is ready: %j', (text) => {
    expect(changelogVerdict(text, '1.2.3').state).toBe('ok')
  })

  test.each([
    ['has no entry', '# Changelog\n'],
    ['keeps something back', '## Pending\n\n- It works.\n\n## 1.2.3\n\n- It works.\n'],
    ['is of another version', '## 1.2.30\n\n- It works.\n'],
    ['has it not as the newest', '## 1.2.4\n\n- More.\n\n## 1.2.3\n\n- It works.\n'],
    ['says nothing', '## 1.2.3\n\n## 1.2.2\n\n- It works.\n'],
  ])('%s, which fails and says what to do', (_what, text) => {
    const { state, todo } = changelogVerdict(text, '1.2.3')
    expect(state).toBe('failed')
    expect(todo).toMatch(/\S/)
  })
})

describe('a version', () => {
  test.each(['1.2.3', '0.1.0', '1.0.0-rc.1', '1.0.0-alpha', '1.0.0-0.x.7-z'])('can be %s', (version) => {
    expect(versionVerdict(version, ['v0.0.1', '1.2.3']).state).toBe('ok')
  })

  test.each(['1.2', 'v1.2.3', '01.2.3', '1.2.3+build', '1.2.3-', '1.2.3-01', ''])('cannot be %j', (version) => {
    expect(versionVerdict(version, []).state).toBe('failed')
  })

  test('with a tag is not published again', () => {
    expect(versionVerdict('1.2.3', ['v1.2.3'])).toMatchObject({
      state: 'failed',
      words: expect.stringContaining('v1.2.3'),
    })
  })

  test.each([
    ['ok', true, '{"error":{"code":"E404"}}'],
    ['ok', false, '["1.2.1","1.2.2"]'],
    ['ok', false, '"1.2.2"'],
    ['failed', false, '["1.2.2","1.2.3"]'],
    ['failed', false, '"1.2.3"'],
    ['not asked', true, '{"error":{"code":"ENOTFOUND"}}'],
    ['not asked', true, ''],
    ['not asked', false, ''],
    ['not asked', false, '{}'],
  ])('at the registry is %s where npm view failed: %s, and said %s', (state, failed, stdout) => {
    expect(publishedVerdict('nonstick', '1.2.3', { failed, stdout }).state).toBe(state)
  })
})

describe('npm audit', () => {
  test('that knows of nothing is ok', () => {
    expect(auditVerdict('{"metadata":{"vulnerabilities":{"high":0,"total":0}}}').state).toBe('ok')
  })

  test('that knows of a weakness fails, and says how bad', () => {
    expect(auditVerdict('{"metadata":{"vulnerabilities":{"low":0,"high":2,"critical":1,"total":3}}}')).toMatchObject({
      state: 'failed',
      words: 'npm audit knows of 2 high, 1 critical',
    })
  })

  test.each(['', 'html', '{"message":"405 Method Not Allowed"}', '{"error":{}}'])(
    'that was answered by %j was not asked, and is not ok',
    (stdout) => {
      const { state, todo } = auditVerdict(stdout)
      expect(state).toBe('not asked')
      expect(todo).toMatch(/npm audit/)
    },
  )
})

const locked = (name: string, more: Partial<Locked['entry']> = {}): Locked => ({
  path: `node_modules/${name}`,
  name,
  entry: { version: '1.0.0', integrity: `sha512-${Buffer.alloc(64, name).toString('base64')}`, ...more },
})

describe('licences', () => {
  test.each(['MIT', '(MIT OR GPL-3.0-only)', 'MIT AND ISC', 'BSD-3-Clause'])('%s is allowed', (licence) => {
    expect(isAllowed(licence)).toBe(true)
  })

  test.each(['', 'GPL-3.0-only', 'UNLICENSED', 'SEE LICENSE IN LICENSE', 'MIT AND GPL-3.0-only', 'mit'])(
    '%j is not',
    (licence) => {
      expect(isAllowed(licence)).toBe(false)
      expect(licencesVerdict([locked('a'), locked('b')], ({ name }) => (name === 'a' ? 'MIT' : licence))).toMatchObject(
        {
          state: 'failed',
          words: expect.stringContaining('b ('),
        },
      )
    },
  )

  test('of parts for other systems are not known here, which is said; what everybody needs has to be here', () => {
    const absent = () => undefined
    expect(licencesVerdict([locked('a', { optional: true })], absent)).toMatchObject({
      state: 'ok',
      words: expect.stringContaining('1 for other systems'),
    })
    expect(licencesVerdict([locked('a')], absent).state).toBe('failed')
  })
})

describe('a bill of materials', () => {
  const packages = [locked('a'), locked('@s/b')]
  const subject = { name: 'nonstick', version: '1.2.3' }
  const componentOf = ({ name }: Locked) => ({
    'bom-ref': `${name}@1.0.0`,
    name,
    version: '1.0.0',
    purl: `pkg:npm/${name}@1.0.0`,
    hashes: [{ alg: 'SHA-512', content: Buffer.alloc(64, name).toString('hex') }],
  })
  const right = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: 'urn:uuid:00000000-0000-4000-8000-000000000000',
    version: 1,
    metadata: {
      timestamp: '2027-01-31T00:00:00.000Z',
      component: { 'bom-ref': 'nonstick@1.2.3', ...subject, purl: 'pkg:npm/nonstick@1.2.3' },
    },
    components: packages.map(componentOf),
    dependencies: [{ ref: 'nonstick@1.2.3', dependsOn: ['a@1.0.0', '@s/b@1.0.0'] }],
  } satisfies Bill
  const [first, second] = right.components

  test('that is right is not complained about', () => {
    expect(complaintsAboutBill(right, subject, packages)).toEqual([])
  })

  test.each<[string, Bill]>([
    ['is of another format', { ...right, bomFormat: 'SPDX' }],
    ['is of an old version', { ...right, specVersion: '1.4' }],
    ['has no serial number', { ...right, serialNumber: 'urn:uuid:' }],
    ['has no moment', { ...right, metadata: { component: right.metadata.component } }],
    [
      'is about another version',
      { ...right, metadata: { ...right.metadata, component: { ...right.metadata.component, version: '1.2.4' } } },
    ],
    [
      'has another hash',
      {
        ...right,
        components: [{ ...first, hashes: [{ alg: 'SHA-512', content: 'ff' }] }, ...right.components.slice(1)],
      },
    ],
    ['has no hash', { ...right, components: [{ ...first, hashes: [] }, ...right.components.slice(1)] }],
    ['has no address', { ...right, components: [{ ...first, purl: '' }, ...right.components.slice(1)] }],
    ['names a package twice', { ...right, components: [...right.components, ...right.components.slice(1)] }],
    ['names one too many', { ...right, components: [...right.components, componentOf(locked('c'))] }],
    ['leads nowhere', { ...right, dependencies: [{ ref: 'nonstick@1.2.3', dependsOn: ['c@1.0.0'] }] }],
    ['does not say what depends on what', { ...right, dependencies: [] }],
    [
      'has a path of the machine',
      {
        ...right,
        components: [
          { ...first, description: ['', 'home', 'ann', 'a'].join('/') } as object,
          ...right.components.slice(1),
        ],
      },
    ],
  ])('that %s is complained about, once', (_what, bill) => {
    expect(complaintsAboutBill(bill, subject, packages)).toHaveLength(1)
  })

  test('that lacks a package is complained about, and so are those who depend on it', () => {
    const bill = { ...right, components: [second ?? expect.fail()] }
    expect(complaintsAboutBill(bill, subject, packages)).toEqual([
      'it lacks a@1.0.0',
      'it has no component for a@1.0.0',
    ])
  })
})

test('of many things the first five are named, and the others counted', () => {
  expect(some(['a', 'b'])).toBe('a, b')
  expect(some(['a', 'b', 'c', 'd', 'e', 'f', 'g'])).toBe('a, b, c, d, e and 2 more')
})
