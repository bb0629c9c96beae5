-- What a script does all day, each with a result that is known before: closures, patterns, coroutines, sorting,
-- packed binary data, files. Prints TAP and ends with status 0 when all of it holds.

local number, failed = 0, 0

local function check(name, got, wanted)
  number = number + 1
  local good = got == wanted
  if not good then failed = failed + 1 end
  print(("%s %d - %s%s"):format(good and "ok" or "not ok", number, name,
    good and "" or (": %s, not %s"):format(tostring(got), tostring(wanted))))
end

check("arguments", table.concat(arg, ","), "grey,harbour seal")
check("version", _VERSION, "Lua 5.4")

-- Closures: two counters that know nothing of each other.
local function counter(step)
  local n = 0
  return function() n = n + step return n end
end
local one, ten = counter(1), counter(10)
one() ten() ten()
check("closures", one() + ten(), 32)

-- String patterns.
local words = {}
for word, count in ("seals: grey=12, harbour=7, ringed=30"):gmatch("(%a+)=(%d+)") do
  words[#words + 1] = word .. ":" .. math.tointeger(count)
end
check("patterns", table.concat(words, " "), "grey:12 harbour:7 ringed:30")
check("replacing", ("a seal, a seal"):gsub("seal", { seal = "selkie" }), "a selkie, a selkie")
check("frontier pattern", ("THE (quick) fox"):find("%f[%a]%a+%f[%A]"), 1)

-- Coroutines: primes from a chain of filters, each a coroutine of its own.
local function numbers()
  return coroutine.wrap(function() for n = 2, math.huge do coroutine.yield(n) end end)
end
local function without(prime, source)
  return coroutine.wrap(function()
    for n in source do
      if n % prime ~= 0 then coroutine.yield(n) end
    end
  end)
end
local source, prime = numbers(), 0
for _ = 1, 30 do
  prime = source()
  source = without(prime, source)
end
check("coroutines", prime, 113)

-- A table of many entries, sorted, and the garbage of building it.
local herd, state = {}, 1
for i = 1, 20000 do
  state = state * 16807 % 2147483647
  herd[i] = { weight = state, name = ("seal %05d"):format(i) }
end
table.sort(herd, function(a, b) return a.weight < b.weight end)
local sorted = true
for i = 2, #herd do sorted = sorted and herd[i - 1].weight <= herd[i].weight end
check("sorting", sorted, true)
herd = nil
collectgarbage()
check("garbage is collected", collectgarbage("count") < 2048, true)

-- Numbers: 64-bit integers, floats, and text of them.
check("integers", math.maxinteger + 1 == math.mininteger and 7 // 2 .. " " .. -7 // 2, "3 -4")
check("floats", ("%.10f"):format(math.sin(1) ^ 2 + math.cos(1) ^ 2), "1.0000000000")
check("hexadecimal", ("%a"):format(0.5), "0x1p-1")
check("UTF-8", utf8.len("Kegelrobbe – 灰海豹"), 16)

-- Errors are caught where they are expected, and `close` is called on the way out.
local closed = false
local ok, message = pcall(function()
  local _ <close> = setmetatable({}, { __close = function() closed = true end })
  error({ code = 42 })
end)
check("errors", not ok and message.code, 42)
check("closing", closed, true)

-- Files, in memory.
local path = "/tmp/herd.bin"
local file = assert(io.open(path, "wb"))
for i = 1, 1000 do file:write(("<I4d s2"):pack(i, i / 4, "seal " .. i)) end
file:close()
file = assert(io.open(path, "rb"))
local data = file:read("a")
check("size of a file", file:seek("end"), #data)
file:close()
local at, sum, last = 1, 0.0, nil
while at <= #data do
  local i, quarter, name
  i, quarter, name, at = ("<I4d s2"):unpack(data, at)
  sum, last = sum + i * quarter, name
end
check("packed data", sum, 83458375.0)
check("the last of it", last, "seal 1000")
assert(os.rename(path, "/tmp/moved"))
check("a file that was moved", io.open(path), nil)
assert(os.remove("/tmp/moved"))
local lines = 0
for _ in io.lines(arg[0]) do lines = lines + 1 end
check("its own lines", lines > 100, true)

-- A module from the image.
package.path = "/files/?.lua"
check("a module", require("moult").season("grey"), "December")

-- What there is none of says so.
check("no other process", (os.execute("true")), nil)
check("the clock", os.time() > 1e9 and os.date("!%Y", 0), "1970")

print("1.." .. number)
print(failed == 0 and "all of it holds" or failed .. " of it do not hold")
os.exit(failed == 0)
