package simulator_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/camrail/cidp/simulator"
)

func TestSine(t *testing.T) {
	for i := -2000; i <= 2000; i++ {
		x := float64(i) / 500
		if got, want := simulator.Sine(x), math.Sin(2*math.Pi*x); math.Abs(got-want) > 2e-4 {
			t.Fatalf("sine(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestSeventhTenthPower(t *testing.T) {
	for v := 1.0; v <= 160; v++ {
		if got, want := simulator.SeventhTenth(v), math.Pow(v, 0.7); math.Abs(got-want) > 1e-12*want {
			t.Fatalf("%v^0.7 = %v, want %v", v, got, want)
		}
	}
	if got, want := simulator.SeventhTenth(72.5), math.Pow(72.5, 0.7); math.Abs(got-want) > 1e-3 {
		t.Fatalf("72.5^0.7 = %v, want %v", got, want)
	}
	if got := simulator.SeventhTenth(500); got != simulator.SeventhTenth(160) {
		t.Fatalf("a speed over the table gives %v", got)
	}
}

func TestQuantum(t *testing.T) {
	for _, c := range []struct {
		v    float64
		step int64
		want int64
	}{{21.5049, 10, 21500}, {21.5051, 10, 21510}, {-0.006, 10, -10}, {61.24, 100, 61200}, {850, 10, 850000}} {
		if got := simulator.Quantum(c.v, c.step); got != c.want {
			t.Errorf("quantum(%v, %d) = %d, want %d", c.v, c.step, got, c.want)
		}
	}
}

// mathOnly is an importer that knows what the package takes from math: floats of the model come from nowhere else.
type mathOnly struct{ math *types.Package }

func (m mathOnly) Import(path string) (*types.Package, error) {
	if path == "math" {
		return m.math, nil
	}
	return nil, types.Error{Msg: "not imported"}
}

func newMathOnly(t *testing.T, fset *token.FileSet) mathOnly {
	const source = "package math; const MaxInt64 = 1<<63 - 1; func Floor(float64) float64; func Round(float64) float64; func Sqrt(float64) float64"
	file, err := parser.ParseFile(fset, "math.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	conf := types.Config{IgnoreFuncBodies: true}
	pkg, err := conf.Check("math", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mathOnly{pkg}
}

// TestNoProductCanFuse holds the rule that makes the bytes the same on amd64 and arm64: a product of floats stands in a
// float64(...) conversion, or is a factor of a larger product or quotient.
func TestNoProductCanFuse(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("find sources: %v, %v", names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: newMathOnly(t, fset), Error: func(error) {}}
	_, _ = conf.Check("simulator", fset, files, info) // unknown imports are errors; what they leave is enough
	products, bad := 0, 0
	for _, file := range files {
		var path []ast.Node
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				path = path[:len(path)-1]
				return true
			}
			if isFloatProduct(n, info) {
				products++
				if !safe(path) {
					bad++
					t.Errorf("%s: write float64(...) around this product", fset.Position(n.Pos()))
				}
			}
			path = append(path, n)
			return true
		})
	}
	if products < 60 {
		t.Fatalf("only %d products of floats found: the test does not see the package", products)
	}
	if mulAssigned(files, info) {
		t.Error("*= on floats hides a product")
	}
}

func isFloatProduct(n ast.Node, info *types.Info) bool {
	b, ok := n.(*ast.BinaryExpr)
	return ok && b.Op == token.MUL && isFloat(info.Types[b])
}

func isFloat(tv types.TypeAndValue) bool {
	if tv.Value != nil {
		return false // a constant is exact
	}
	b, ok := tv.Type.(*types.Basic)
	return ok && b.Info()&types.IsFloat != 0
}

// safe looks at what stands around a product, innermost last.
func safe(path []ast.Node) bool {
	for i := len(path) - 1; i >= 0; i-- {
		switch p := path[i].(type) {
		case *ast.ParenExpr:
		case *ast.BinaryExpr:
			return p.Op == token.MUL || p.Op == token.QUO
		case *ast.CallExpr:
			f, ok := p.Fun.(*ast.Ident)
			return ok && f.Name == "float64"
		default:
			return false
		}
	}
	return false
}

func mulAssigned(files []*ast.File, info *types.Info) (found bool) {
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.MUL_ASSIGN && isFloat(info.Types[a.Lhs[0]]) {
				found = true
			}
			return true
		})
	}
	return found
}
