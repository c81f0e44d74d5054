import { test } from 'vitest'

test('passes before the one that hangs', () => {})
test('hangs', () => new Promise(() => {}))
test('never begins', () => {})
