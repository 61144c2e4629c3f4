package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Counts are the numbers of /metrics, by name with labels.
type Counts map[string]float64

// Scrape reads /metrics of a platform, whose address is given with its scheme.
func Scrape(http string) (Counts, error) { return scrape(http + "/metrics") }

func scrape(url string) (Counts, error) {
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Get(url)
	if err != nil {
		return nil, fmt.Errorf("get metrics: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get metrics: the answer is %s", res.Status)
	}
	out := Counts{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && name != "#" {
			out[name] = v
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return out, nil
}

// Sum adds up what has this beginning: a name, or a name with its first label.
func (c Counts) Sum(prefix string) (sum float64) {
	for name, v := range c {
		if strings.HasPrefix(name, prefix) {
			sum += v
		}
	}
	return sum
}
